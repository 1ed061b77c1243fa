import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../core/base/clock.ts';
import { systemRandom } from '../../../core/base/random.ts';
import { nodeNetwork } from '../../../core/base/node-network.ts';
import { Admin } from '../../../core/client/admin.ts';
import { Cluster, type ClusterOptions } from '../../../core/client/cluster.ts';
import { consume } from '../../../core/client/consumer.ts';
import { consumeGroup } from '../../../core/client/group-consumer.ts';
import { Producer } from '../../../core/client/producer.ts';
import { ApiKey, apiVersionsResponse, encodeResponse } from '../../../core/protocol/api.ts';
import { startBroker, type RunningBroker } from '../broker/start-broker.ts';
import { until } from './client-suite.ts';
import { FaultyNetwork } from './faulty-network.ts';

const record = (value: string): { key: null; value: Buffer } => ({ key: null, value: Buffer.from(value) });

describe('against a broker behind a bad network', () => {
  let broker: RunningBroker;
  const open: Cluster[] = [];
  const connectTo = (network: FaultyNetwork): Cluster => {
    const cluster = new Cluster({ brokers: [broker.bootstrap], network, clock: systemClock, random: systemRandom });
    open.push(cluster);
    return cluster;
  };
  beforeAll(async () => {
    broker = await startBroker();
  });
  afterEach(async () => {
    for (const cluster of open.splice(0)) await cluster.close();
  });
  afterAll(() => broker.stop());

  async function valuesOf(cluster: Cluster, topic: string): Promise<string[]> {
    const values: string[] = [];
    for await (const records of consume(cluster, { topic, from: 'earliest', exitAtEnd: true })) {
      values.push(...records.map(one => String(Buffer.from(one.value ?? []))));
    }
    return values;
  }

  test('a batch whose answer was lost is sent again and stored once, in order', async () => {
    const network = new FaultyNetwork();
    const cluster = connectTo(network);
    const producer = new Producer(cluster);
    const wanted = ['first'];
    await producer.send('lost-answers', [{ ...record('first'), partition: 0 }]);
    const sent: Promise<unknown>[] = [];
    for (let i = 0; i < 30; i++) {
      if (i % 5 === 2) network.loseNextAnswer = true;
      wanted.push(String(i));
      sent.push(producer.send('lost-answers', [{ ...record(String(i)), partition: 0 }]));
      if (i % 5 === 4) await Promise.all(sent);
    }
    await producer.close();
    expect(network.opened).toBeGreaterThan(5);
    expect(await valuesOf(cluster, 'lost-answers')).toEqual(wanted);
  });

  test('a reader goes on where it was when its connections break', async () => {
    const network = new FaultyNetwork();
    const cluster = connectTo(network);
    const producer = new Producer(cluster);
    await producer.send('cut-reader', [{ ...record('0'), partition: 0 }]);
    const stop = new AbortController();
    const seen: string[] = [];
    for await (const records of consume(cluster, { topic: 'cut-reader', from: 'earliest', signal: stop.signal })) {
      seen.push(...records.map(one => String(one.value)));
      if (seen.length === 5) stop.abort();
      else {
        network.cut();
        await producer.send('cut-reader', [{ ...record(String(seen.length)), partition: 0 }]);
      }
    }
    await producer.close();
    expect(seen).toEqual(['0', '1', '2', '3', '4']);
  });

  test('a member that the group has thrown out joins again and misses nothing', async () => {
    const cluster = connectTo(new FaultyNetwork());
    const admin = new Admin(cluster);
    const producer = new Producer(cluster);
    await producer.send('thrown-out', [{ ...record('0'), partition: 0 }]);
    const stop = new AbortController();
    const options = { group: 'thrown-out', topics: ['thrown-out'], from: 'earliest', heartbeatMs: 20 } as const;
    const seen: string[] = [];
    const reading = (async () => {
      for await (const records of consumeGroup(cluster, { ...options, commitEveryMs: 0, signal: stop.signal })) {
        seen.push(...records.map(one => String(one.value)));
      }
    })();
    await until(() => seen.length === 1);
    const { members } = await admin.groups.describe('thrown-out');
    const memberId = members[0]?.memberId ?? '';
    const thrown = await cluster.toCoordinator('thrown-out', ApiKey.LeaveGroup, {
      groupId: 'thrown-out',
      memberId,
      members: [{ memberId }],
    });
    expect(thrown.members[0]?.errorCode).toBe(0);
    await until(async () => {
      const now = await admin.groups.describe('thrown-out');
      return now.members.some(one => one.memberId !== memberId && one.partitions.length > 0);
    });
    await producer.send('thrown-out', [{ ...record('1'), partition: 0 }]);
    await until(() => seen.includes('1'));
    stop.abort();
    await reading;
    await producer.close();
    expect(new Set(seen)).toEqual(new Set(['0', '1']));
  });

  test('a producer says when it holds too much, and is ready again when that is acknowledged', async () => {
    const cluster = connectTo(new FaultyNetwork());
    const producer = new Producer(cluster, { maxBufferedBytes: 10_000, maxBatchBytes: 4000 });
    await producer.send('ready', [record('first')]);
    let isReady = true;
    const sent = producer.send(
      'ready',
      Array.from({ length: 30 }, () => record('x'.repeat(1000))),
    );
    const ready = producer.ready();
    void ready.then(() => (isReady = true));
    isReady = false;
    await Promise.resolve();
    expect(isReady).toBe(false);
    await ready;
    await sent;
    await producer.close();
    await expect(producer.send('ready', [record('late')])).rejects.toMatchObject({ kind: 'closed' });
  });
});

describe('against something that is no good broker', () => {
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers.splice(0)) server.close();
  });

  async function serve(onFrame: (frame: Buffer, socket: Socket) => void): Promise<string> {
    const server = createServer(socket => {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('data', (bytes: Buffer) => onFrame(bytes.subarray(4), socket));
    });
    servers.push(server);
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return `127.0.0.1:${address.port}`;
  }
  const clusterOf = (brokers: string[], options: Partial<ClusterOptions> = {}): Cluster =>
    new Cluster({ brokers, network: nodeNetwork, clock: systemClock, random: systemRandom, ...options });

  test('an address where nobody listens is told at once, with the address and what to do', async () => {
    const address = await serve(() => {});
    await new Promise(resolve => servers.pop()?.close(resolve));
    const cluster = clusterOf([address]);
    await expect(new Admin(cluster).topics.list()).rejects.toMatchObject({
      kind: 'unavailable',
      code: 'UNREACHABLE',
      message: expect.stringContaining(address),
      help: expect.stringContaining('Check the address'),
    });
    await cluster.close();
  });

  test('a first contact that fails is tried again when so asked', async () => {
    const network = new FaultyNetwork();
    const broker = await startBroker();
    const cluster = clusterOf([broker.bootstrap], { network, waitForBrokers: true });
    network.loseNextAnswer = true;
    expect(await new Admin(cluster).topics.list()).toEqual(expect.any(Array));
    expect(network.opened).toBe(2);
    await cluster.close();
    await broker.stop();
  });

  test('a server that speaks HTTP is told from a broker', async () => {
    const address = await serve((_, socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const cluster = clusterOf([address]);
    await expect(cluster.any()).rejects.toMatchObject({
      code: 'UNREACHABLE',
      help: expect.stringContaining('Kafka listener'),
    });
    await cluster.close();
  });

  test('a broker that does not answer costs the request timeout, not for ever', async () => {
    const address = await serve(() => {});
    const cluster = clusterOf([address], { requestTimeoutMs: 40 });
    await expect(cluster.any()).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining('did not answer ApiVersions within 40 ms'),
    });
    await cluster.close();
  });

  test('answers out of order break the connection', async () => {
    const address = await serve((frame, socket) => {
      const wrongId = frame.readInt32BE(4) + 1;
      for (const chunk of encodeResponse(ApiKey.ApiVersions, 4, wrongId, apiVersionsResponse())) socket.write(chunk);
    });
    const cluster = clusterOf([address]);
    await expect(cluster.any()).rejects.toMatchObject({ message: expect.stringContaining('out of order') });
    await cluster.close();
  });

  test('a broker without the versions that we speak is told by the API it lacks', async () => {
    const address = await serve((frame, socket) => {
      const answer = { errorCode: 0, apiKeys: [{ apiKey: ApiKey.Metadata, minVersion: 90, maxVersion: 95 }] };
      for (const chunk of encodeResponse(ApiKey.ApiVersions, 4, frame.readInt32BE(4), answer)) socket.write(chunk);
    });
    const cluster = clusterOf([address]);
    await expect(cluster.metadata(null)).rejects.toMatchObject({
      code: 'UNSUPPORTED_VERSION',
      message: expect.stringContaining('Metadata'),
    });
    await cluster.close();
  });

  test('a broker that only knows older ApiVersions is asked in its own version', async () => {
    const versions: number[] = [];
    const address = await serve((frame, socket) => {
      const version = frame.readInt16BE(2);
      versions.push(version);
      const old = { errorCode: 35, apiKeys: [{ apiKey: ApiKey.ApiVersions, minVersion: 0, maxVersion: 2 }] };
      const answer = version > 2 ? old : apiVersionsResponse();
      const chunks = encodeResponse(ApiKey.ApiVersions, version > 2 ? 0 : version, frame.readInt32BE(4), answer);
      for (const chunk of chunks) socket.write(chunk);
    });
    const cluster = clusterOf([address]);
    const connection = await cluster.any();
    expect(versions).toEqual([4, 2]);
    expect(connection.versionOf(ApiKey.Fetch)).toBe(12);
    await cluster.close();
  });

  test('a second address is tried when the first one fails', async () => {
    const address = await serve((frame, socket) => {
      for (const chunk of encodeResponse(ApiKey.ApiVersions, 4, frame.readInt32BE(4), apiVersionsResponse())) {
        socket.write(chunk);
      }
    });
    const dead = await serve(() => {});
    await new Promise(resolve => servers.pop()?.close(resolve));
    const cluster = clusterOf([dead, address]);
    expect((await cluster.any()).address).toBe(address);
    await cluster.close();
  });
});
