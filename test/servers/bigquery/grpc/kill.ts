/** Breaks the TCP connection under a call, as a crashed peer or a cut cable does. */
import type { Http2Stream } from 'node:http2';

/** grpc-js keeps the HTTP/2 stream in a private field; there is no public way to the connection. */
export function killSession(call: object): void {
  const inner = (call as { call?: { stream?: Http2Stream; nextCall?: { stream?: Http2Stream } } }).call;
  const stream = inner?.stream ?? inner?.nextCall?.stream;
  if (!stream) throw new Error('grpc-js has changed: no HTTP/2 stream under the call');
  stream.session?.socket.destroy();
  stream.session?.destroy();
}
