/** Stands between clients and a broker, sees each request before the broker does, and may keep it from it. */
import { createServer, connect, type Server, type Socket } from 'node:net';

/** `cut`: the broker never gets the request, and the connection ends. `mute`: it gets it, and nobody hears its answer. */
export type Verdict = 'pass' | 'cut' | 'mute';

/** `frame`: one request without its size, from the API key on. */
export type Judge = (apiKey: number, frame: Buffer) => Verdict;

export class KafkaProxy {
  readonly port: number;
  private readonly server: Server;
  private readonly sockets: Set<Socket>;

  private constructor(server: Server, port: number, sockets: Set<Socket>) {
    this.server = server;
    this.port = port;
    this.sockets = sockets;
  }

  /** The broker must tell its clients `port` as its own. */
  static async start(port: number, brokerPort: () => number, judge: Judge): Promise<KafkaProxy> {
    const sockets = new Set<Socket>();
    const server = createServer(client => serve(client, brokerPort(), judge, sockets));
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
    return new KafkaProxy(server, port, sockets);
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise(resolve => this.server.close(resolve));
  }
}

function serve(client: Socket, brokerPort: number, judge: Judge, sockets: Set<Socket>): void {
  const broker = connect(brokerPort, '127.0.0.1');
  const both = [client, broker];
  const end = (): void => both.forEach(socket => socket.destroy());
  for (const socket of both) {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', end).on('close', () => {
      sockets.delete(socket);
      end();
    });
  }
  let isMute = false;
  broker.on('data', (bytes: Buffer) => {
    if (!isMute && !client.destroyed) client.write(bytes);
  });
  let rest: Buffer = Buffer.alloc(0);
  client.on('data', (bytes: Buffer) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const whole = rest.subarray(0, 4 + rest.readInt32BE(0));
      rest = rest.subarray(whole.length);
      const verdict = judge(whole.readInt16BE(4), whole.subarray(4));
      if (verdict === 'cut') return end();
      if (verdict === 'mute') isMute = true;
      broker.write(whole);
    }
  });
}
