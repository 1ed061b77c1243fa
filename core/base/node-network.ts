import net from 'node:net';
import type { Network } from './network.ts';

/** Real TCP. Small writes go out at once: whoever wants to gather them corks the stream. */
export const nodeNetwork: Network = {
  connect(host, port, signal) {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const socket = net.connect({ host, port, noDelay: true, keepAlive: true });
      const abort = (): void => {
        socket.destroy();
        reject(signal.reason as Error);
      };
      const fail = (error: Error): void => {
        signal.removeEventListener('abort', abort);
        reject(error);
      };
      signal.addEventListener('abort', abort, { once: true });
      socket.once('error', fail);
      socket.once('connect', () => {
        signal.removeEventListener('abort', abort);
        socket.off('error', fail);
        resolve(socket);
      });
    });
  },
};
