/**
 * Google's hosts on loopback, for a process that is started as it is: a forward proxy takes CONNECT to
 * `<host>.googleapis.com:443`, ends the TLS there with a certificate of its own authority, and passes the bytes on to a
 * plain server. Nothing else is let out. The process is told by the variables that people behind a proxy set.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';

export interface GoogleFront {
  /** For the environment of the process. */
  readonly env: Record<string, string>;
  /** "host:port" of every CONNECT so far, those that were refused among them. */
  readonly asked: string[];
  close(): Promise<void>;
}

/** `hosts`: which plain server stands for which host, as "oauth2.googleapis.com" -> "127.0.0.1:1234". */
export async function startGoogleFront(hosts: Readonly<Record<string, string>>): Promise<GoogleFront> {
  const folder = mkdtempSync(join(tmpdir(), 'google-front-'));
  const { key, cert } = makeCertificate(folder);
  const asked: string[] = [];
  const open = new Set<Socket>();
  const track = (socket: Socket): void => {
    open.add(socket);
    socket.on('error', () => {}).once('close', () => open.delete(socket));
  };
  const proxy = createServer((_, response) => response.writeHead(403).end());
  proxy.on('connection', track);
  proxy.on('connect', ({ url = '' }, socket: Socket) => {
    asked.push(url);
    const target = hosts[url.replace(/:443$/, '')];
    if (target === undefined) return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    const [host = '', port] = target.split(':');
    const plain = connect(Number(port), host);
    track(plain);
    // gRPC asks for HTTP/2, everything else gets HTTP/1.1.
    const inner = new TLSSocket(socket, { isServer: true, key, cert, ALPNProtocols: ['h2', 'http/1.1'] });
    inner.on('error', () => plain.destroy()).once('close', () => plain.destroy());
    plain.once('close', () => inner.destroy());
    inner.pipe(plain).pipe(inner);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  return {
    env: {
      HTTPS_PROXY: url,
      https_proxy: url,
      NO_PROXY: '127.0.0.1,localhost',
      no_proxy: '127.0.0.1,localhost',
      NODE_USE_ENV_PROXY: '1',
      NODE_EXTRA_CA_CERTS: join(folder, 'cert.pem'),
    },
    asked,
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise(resolve => proxy.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A certificate for *.googleapis.com that vouches for itself. */
function makeCertificate(folder: string): { key: Buffer; cert: Buffer } {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=googleapis.com', '-addext', 'subjectAltName=DNS:*.googleapis.com'];
  execFileSync('openssl', ['req', ...kind, ...names, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  return { key: readFileSync(key), cert: readFileSync(cert) };
}
