import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import { type ApiKey, APIS, decodeResponse, encodeRequest, type RequestInput } from '../../../core/protocol/api.ts';
import { batchOf, valuesOf } from '../../core/broker/harness.ts';
import { type RunningBroker, type StartOptions, startBroker } from '../../core/broker/start-broker.ts';

/** A client on a raw socket: sends bytes, reads frames. */
class Client {
  readonly socket: Socket;
  readonly frames: Buffer[] = [];
  closed = false;
  private rest = Buffer.alloc(0);
  private wake: () => void = () => {};

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', chunk => {
      this.rest = Buffer.concat([this.rest, chunk]);
      while (this.rest.length >= 4 && this.rest.length >= 4 + this.rest.readInt32BE(0)) {
        const end = 4 + this.rest.readInt32BE(0);
        this.frames.push(this.rest.subarray(4, end));
        this.rest = this.rest.subarray(end);
      }
      this.wake();
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.closed = true;
      this.wake();
    });
  }

  send<K extends ApiKey>(key: K, version: number, correlationId: number, body: RequestInput<K>): void {
    this.socket.write(Buffer.concat(encodeRequest(key, version, correlationId, 'test', body)));
  }

  /** The next frame that was not taken; null when the connection ends instead. */
  async next(): Promise<Buffer | null> {
    while (this.frames.length === 0 && !this.closed) await new Promise<void>(resolve => (this.wake = resolve));
    return this.frames.shift() ?? null;
  }

  async correlationIds(count: number): Promise<(number | undefined)[]> {
    const ids: (number | undefined)[] = [];
    for (let i = 0; i < count; i++) ids.push((await this.next())?.readInt32BE(0));
    return ids;
  }

  async ended(): Promise<void> {
    while (!this.closed) await new Promise<void>(resolve => (this.wake = resolve));
  }
}

let running: RunningBroker;
let clients: Client[];
async function start(options: StartOptions = {}): Promise<void> {
  running = await startBroker(options);
  await running.test.broker.topics.create({ name: 'orders', partitions: 1 });
}
const client = (): Client => {
  const made = new Client(running.listener.port);
  clients.push(made);
  return made;
};
const produceBody = (value: string, acks = -1): RequestInput<0> => ({
  transactionalId: null,
  acks,
  timeoutMs: 1000,
  topicData: [{ name: 'orders', partitionData: [{ index: 0, records: batchOf([value]) }] }],
});
const fetchBody = (fetchOffset: number, maxWaitMs: number): RequestInput<1> => ({
  maxWaitMs,
  minBytes: 1,
  topics: [{ topic: 'orders', partitions: [{ partition: 0, fetchOffset, partitionMaxBytes: 1e7 }] }],
});
const values = async (): Promise<string[]> => {
  const { records } = await running.test.fetch('orders', 0, 0, { maxBytes: 1e8, partitionMaxBytes: 1e8 });
  return valuesOf(records).map(([, value]) => value);
};
const isServed = async (): Promise<void> => {
  const healthy = client();
  healthy.send(18, 0, 77, {});
  expect(await healthy.correlationIds(1)).toEqual([77]);
  healthy.socket.destroy();
};

beforeEach(() => {
  clients = [];
});
afterEach(async () => {
  for (const { socket } of clients) socket.destroy();
  await running.stop();
});

describe('the Kafka listener', () => {
  it('answers pipelined requests in their order, also when a later one is ready first', async () => {
    await start();
    const one = client();
    one.send(1, 11, 1, fetchBody(0, 300));
    one.send(18, 0, 2, {});
    one.send(3, 9, 3, { topics: null });
    one.send(18, 0, 4, {});
    expect(await one.correlationIds(4)).toEqual([1, 2, 3, 4]);
  });

  it('stores pipelined batches in the order in which they came', async () => {
    await start();
    const one = client();
    const expected = Array.from({ length: 200 }, (_, i) => `${i}`);
    expected.forEach((value, i) => one.send(0, 9, i, produceBody(value)));
    expect(await one.correlationIds(200)).toEqual(expected.map(Number));
    expect(await values()).toEqual(expected);
  });

  it('answers nothing to acks 0, and goes on with what follows', async () => {
    await start();
    const one = client();
    one.send(0, 9, 1, produceBody('silent', 0));
    one.send(0, 9, 2, produceBody('loud'));
    expect(await one.correlationIds(1)).toEqual([2]);
    expect(await values()).toEqual(['silent', 'loud']);
  });

  it('answers an unknown ApiVersions version in version 0, with error 35 and what it serves', async () => {
    await start();
    const one = client();
    const frame = Buffer.concat(encodeRequest(18, 4, 9, 'test', { clientSoftwareName: 'x' }));
    frame.writeInt16BE(99, 6);
    one.socket.write(frame);
    const { correlationId, body } = decodeResponse(18, 4, (await one.next()) ?? Buffer.alloc(0));
    expect([correlationId, body.errorCode]).toEqual([9, 35]);
    expect(body.apiKeys).toContainEqual({ apiKey: 0, minVersion: 0, maxVersion: APIS.Produce.served[1] });
    one.send(18, 0, 10, {});
    expect(await one.correlationIds(1)).toEqual([10]);
  });

  const bad: [what: string, bytes: () => Buffer][] = [
    ['a negative size', () => Buffer.from('ffffffff', 'hex')],
    ['a size beyond the limit', () => Buffer.from('7fffffff', 'hex')],
    ['an HTTP request', () => Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['an unknown api key', () => Buffer.from('0000000a0fff000000000001ffff', 'hex')],
    ['a version that is not served', () => Buffer.from('0000000a0000000100000001ffff', 'hex')],
    ['a body that ends too early', () => Buffer.from('0000000a0003000900000001ffff', 'hex')],
  ];
  it.each(bad)('closes the connection that sends %s, and no other', async (_, bytes) => {
    await start();
    const healthy = client();
    healthy.send(18, 0, 1, {});
    await healthy.next();
    const broken = client();
    broken.socket.write(bytes());
    await broken.ended();
    healthy.send(18, 0, 2, {});
    expect(await healthy.correlationIds(1)).toEqual([2]);
  });

  it('closes a client that stops in the middle of a request, but not one that is silent', async () => {
    await start({ network: { connection_timeout_ms: 60 } });
    const silent = client();
    silent.send(18, 0, 1, {});
    await silent.next();
    const half = client();
    half.socket.write(Buffer.from('000000', 'hex'));
    const mute = client();
    await Promise.all([half.ended(), mute.ended()]);
    silent.send(18, 0, 2, {});
    expect(await silent.correlationIds(1)).toEqual([2]);
  });

  it('stops reading from a client that does not take its answers, and goes on when it does', async () => {
    await start();
    const one = client();
    one.send(0, 9, 0, produceBody('x'.repeat(900_000)));
    await one.next();
    one.socket.pause();
    const asked = 60;
    for (let i = 1; i <= asked; i++) one.send(1, 11, i, fetchBody(0, 0));
    for (let i = 0; i < 50; i++) await isServed();
    const { value } = running.test.metrics.counter('millstream_messages_consumed_total', '');
    expect(value).toBeLessThan(asked - 20);
    one.socket.resume();
    expect(await one.correlationIds(asked)).toEqual(Array.from({ length: asked }, (_, i) => i + 1));
  });

  it('answers what is under way when it closes, and gives up what only waits', async () => {
    await start();
    const writer = client();
    const waiter = client();
    waiter.send(1, 11, 1, fetchBody(0, 60_000));
    waiter.send(18, 0, 2, {});
    for (let i = 0; i < 50; i++) writer.send(0, 9, i, produceBody(`${i}`));
    expect(await writer.correlationIds(1)).toEqual([0]);
    await running.listener.close();
    await Promise.all([writer.ended(), waiter.ended()]);
    const stored = await values();
    expect(stored.length).toBeGreaterThanOrEqual(writer.frames.length + 1);
    const late = client();
    await late.ended();
    expect(late.frames).toEqual([]);
  });

  it('still does and answers what came before the client ended its side', async () => {
    await start();
    const one = client();
    for (let i = 0; i < 20; i++) one.send(0, 9, i, produceBody(`${i}`));
    one.send(1, 11, 20, fetchBody(20, 60_000));
    one.send(18, 0, 21, {});
    one.socket.end();
    await one.ended();
    expect(one.frames.map(frame => frame.readInt32BE(0))).toEqual([...Array.from({ length: 20 }, (_, i) => i), 21]);
    expect(await values()).toHaveLength(20);
  });

  it('refuses more connections than are allowed', async () => {
    await start({ network: { max_connections: 2 } });
    const first = client();
    const second = client();
    first.send(18, 0, 1, {});
    second.send(18, 0, 1, {});
    await Promise.all([first.next(), second.next()]);
    const third = client();
    await third.ended();
    first.socket.destroy();
    await expect.poll(() => running.test.metrics.toPrometheus()).toContain('millstream_kafka_connections 1');
    await isServed();
  });

  it('says in one sentence that the port is taken', async () => {
    await start();
    const port = running.listener.port;
    await expect(startBroker({ port })).rejects.toMatchObject({ code: 'PORT_IN_USE', kind: 'unavailable' });
  });

  it('lives through random bytes and bent frames', async () => {
    await start();
    const random = seededRandom(11);
    const whole = (n: number): number => Math.floor(random.float() * n);
    const noise = (size: number): Buffer => {
      const bytes = Buffer.alloc(size);
      random.fill(bytes);
      return bytes;
    };
    const good = [
      Buffer.concat(encodeRequest(0, 9, 1, 'fuzz', produceBody('x'))),
      Buffer.concat(encodeRequest(1, 11, 1, 'fuzz', fetchBody(0, 1))),
      Buffer.concat(encodeRequest(3, 12, 1, 'fuzz', { topics: null })),
      Buffer.concat(encodeRequest(8, 8, 1, 'fuzz', { groupId: 'g', memberId: '', topics: [] })),
      Buffer.concat(encodeRequest(18, 3, 1, 'fuzz', { clientSoftwareName: 'a', clientSoftwareVersion: 'b' })),
    ];
    const bent = (): Buffer => {
      const frame = Buffer.from(good[whole(good.length)] as Buffer);
      for (let i = 0; i <= whole(4); i++) frame[4 + whole(frame.length - 4)] = whole(256);
      return frame;
    };
    for (let round = 0; round < 300; round++) {
      const one = client();
      one.socket.write(round % 2 === 0 ? noise(whole(300)) : bent());
      one.socket.end();
      await one.ended();
    }
    await isServed();
  });
});
