import net from 'node:net';
import tls from 'node:tls';
import type { Network } from './network.ts';

/** Real TCP. Small writes go out at once: whoever wants to gather them corks the stream. */
export const nodeNetwork: Network = {
  connect: (host, port, signal) =>
    opened(() => net.connect({ host, port, noDelay: true, keepAlive: true }), 'connect', signal),
};

export interface TlsOptions {
  /** PEM: authorities that are trusted. Left out: those that come with Node. */
  ca?: string;
  /** PEM: what this side shows, when the other asks for it. */
  cert?: string;
  key?: string;
  /** The name that must stand in the certificate. Left out: the host that is connected to. */
  serverName?: string;
}

/** Real TCP with TLS inside, 1.2 or newer. The other side's certificate is always checked. */
export function tlsNetwork(options: TlsOptions = {}): Network {
  const { serverName, ...pem } = options;
  return {
    connect(host, port, signal) {
      const name = serverName ?? host;
      const servername = net.isIP(name) === 0 ? { servername: name } : {};
      const checkServerIdentity: typeof tls.checkServerIdentity = (_, certificate) =>
        tls.checkServerIdentity(name, certificate);
      const open = (): tls.TLSSocket => {
        const socket = tls.connect({ ...pem, host, port, ...servername, checkServerIdentity });
        return socket.setNoDelay(true).setKeepAlive(true);
      };
      return opened(open, 'secureConnect', signal);
    },
  };
}

function opened<S extends net.Socket>(
  open: () => S,
  event: 'connect' | 'secureConnect',
  signal: AbortSignal,
): Promise<S> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const socket = open();
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
    socket.once(event, () => {
      signal.removeEventListener('abort', abort);
      socket.off('error', fail);
      resolve(socket);
    });
  });
}
