import { Socket } from 'node:net';

/*
 * A server's sockets get a fresh 64 KiB for every read; at 500 MB/s collecting them costs as much CPU as everything
 * else that a produce request needs. Sockets with `onread` read into one buffer that is used again, but Node offers that
 * option only to sockets that are made by hand. So the accepted socket's handle is moved into one that is. All
 * connections share the buffer: a read is consumed before the next one begins.
 */
const READ_BYTES = 256 * 1024;
let shared: Buffer | null = null;

interface WithHandle {
  _handle?: { useUserBuffer?: unknown } | null;
}

/** Delivers what `accepted` receives to `read`, whose bytes are valid only during the call. Accept it paused. */
export function readFrom(accepted: Socket, read: (bytes: Buffer) => void): Socket {
  const { _handle: handle } = accepted as WithHandle;
  if (!handle || typeof handle.useUserBuffer !== 'function') {
    return accepted.on('data', read).resume();
  }
  Object.assign(accepted, { _handle: null });
  accepted.destroy();
  shared ??= Buffer.allocUnsafeSlow(READ_BYTES);
  const buffer = shared;
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer,
      callback(length: number): boolean {
        read(buffer.subarray(0, length));
        return true;
      },
    },
  };
  // `handle` is not in the documented options.
  const socket = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
  socket.resume();
  return socket;
}
