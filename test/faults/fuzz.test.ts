/**
 * Hostile and broken clients: half random bytes, half damaged requests of every API and version served. A healthy
 * client is served throughout, memory does not grow by more than 64 MiB, nothing fails inside. 10,000 frames here;
 * `npm run soak -- fuzz` sends 100,000.
 */
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isServed } from '../../core/protocol/api.ts';
import { Millstream } from '../servers/millstream.ts';
import { eventually, sleep } from '../servers/process.ts';
import { Wire } from '../servers/wire.ts';
import { Frames, FUZZ_PARTITIONS, type ServedVersion, TOPICS } from './frames.ts';
import { Healthy } from './healthy.ts';
import { countOr, report, seedFor } from './settings.ts';

const MIB = 1024 * 1024;
const GROWTH_LIMIT = 64 * MIB;
const AT_ONCE = 16;

let server: Millstream;
let healthy: Healthy;

beforeEach(async () => {
  server = await Millstream.start({
    config: { 'network.connection_timeout_ms': 2000, 'network.max_connections': 300, 'broker.log_level': 'error' },
  });
  healthy = new Healthy(server.bootstrap, 'healthy');
  await healthy.start();
});
afterEach(() => server.stop());

/** The server lives, the healthy client was served, and nothing was logged as an error. */
async function stillWell(): Promise<void> {
  await healthy.stop();
  expect(server.alive).toBe(true);
  expect(server.errors).toEqual([]);
}

/** Everything that ApiVersions lists. Below Produce 3 it lists versions that nobody can use; they are sent too. */
async function servedVersions(): Promise<ServedVersion[]> {
  const wire = await Wire.connect(server.bootstrap);
  const ranges = await wire.apiVersions();
  for (const topic of TOPICS) await wire.createTopic(topic, FUZZ_PARTITIONS);
  wire.close();
  return ranges.flatMap(({ key, min, max }) =>
    Array.from({ length: max - min + 1 }, (_, i) => ({ key, version: min + i }) as ServedVersion).filter(one =>
      isServed(one.key, one.version),
    ),
  );
}

/** Sends bytes on a connection of its own and waits for an answer, the end, or a moment. */
function send(bytes: Buffer): Promise<'answered' | 'closed' | 'silent'> {
  return new Promise(resolve => {
    const socket = connect(server.kafkaPort, '127.0.0.1');
    const done = (how: 'answered' | 'closed' | 'silent') => (): void => {
      socket.destroy();
      resolve(how);
    };
    socket.on('connect', () => socket.write(bytes));
    socket.on('data', done('answered'));
    socket.on('error', done('closed'));
    socket.on('close', done('closed'));
    socket.setTimeout(50, done('silent'));
  });
}

test('random and damaged requests do no harm', { timeout: 3_600_000 }, async () => {
  const count = countOr(10_000);
  const seed = seedFor('fuzz');
  const versions = await servedVersions();
  const frames = new Frames(versions, seed);
  const startBytes = server.residentBytes();

  // Every API and version once as it should be: the frames that are damaged below are valid ones.
  let answered = 0;
  for (const one of versions) if ((await send(frames.valid(one))) === 'answered') answered++;
  expect(answered).toBeGreaterThan(versions.length * 0.8);

  const outcomes = { answered: 0, closed: 0, silent: 0 };
  let sent = 0;
  let baseline = 0;
  let most = 0;
  const attack = async (): Promise<void> => {
    while (sent < count && healthy.failure === undefined) {
      sent++;
      outcomes[await send(sent % 2 === 0 ? frames.noise() : frames.damaged())]++;
      // The first tenth warms up: code is compiled, caches are filled.
      if (sent === Math.floor(count / 10)) baseline = server.residentBytes();
      if (baseline > 0 && sent % 50 === 0) most = Math.max(most, server.residentBytes());
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, attack));
  report('fuzz', {
    seed,
    frames: sent,
    outcomes,
    versions: versions.length,
    healthyRoundTrips: healthy.served,
    healthyLongestMs: Math.round(healthy.longestMs),
    rssMiB: { start: startBytes / MIB, afterWarmUp: baseline / MIB, most: most / MIB },
  });
  await stillWell();
  expect(most - baseline).toBeLessThanOrEqual(GROWTH_LIMIT);
});

const openSocket = (): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(server.kafkaPort, '127.0.0.1', () => resolve(socket));
    socket.on('error', reject);
  });
const size = (bytes: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeInt32BE(bytes);
  return out;
};

test('connections that stop in the middle of a request are closed, and hold little memory until then', async () => {
  const before = server.residentBytes();
  const sockets: Socket[] = [];
  let open = 0;
  for (let i = 0; i < 200; i++) {
    const socket = await openSocket();
    socket.removeAllListeners('error').on('error', () => {});
    open++;
    socket.on('close', () => open--);
    // Nothing at all, half a size, a size without a body, a size of 90 MiB with a few bytes.
    if (i % 4 === 1) socket.write(Buffer.from([0, 0]));
    if (i % 4 === 2) socket.write(size(100));
    if (i % 4 === 3) socket.write(Buffer.concat([size(90 * MIB), Buffer.alloc(100)]));
    sockets.push(socket);
  }
  const grown = server.residentBytes() - before;
  await eventually('the end of the stalled connections', () => open === 0 || undefined);
  expect(grown).toBeLessThanOrEqual(GROWTH_LIMIT);
  await stillWell();
});

test('a frame above the limit closes its connection and no other', async () => {
  for (const bytes of [104_857_601, 2 ** 31 - 1, -1, -(2 ** 31)]) {
    const socket = await openSocket();
    const closed = new Promise<void>(resolve => socket.removeAllListeners('error').once('close', () => resolve()));
    socket.on('error', () => {});
    socket.write(Buffer.concat([size(bytes), Buffer.alloc(1000)]));
    await closed;
  }
  await stillWell();
});

test('a slow writer is served: a request that comes byte by byte is answered', async () => {
  const socket = await openSocket();
  const answer = new Promise<Buffer>(resolve => socket.once('data', resolve));
  for (const byte of Buffer.from('0000000c001200000000000700027570', 'hex')) {
    socket.write(Buffer.from([byte]));
    await sleep(10);
  }
  expect((await answer).readInt32BE(4)).toBe(7);
  socket.destroy();
  await stillWell();
});

/** As the server's own metrics tell it: a client that does not read does not see its end. */
async function openConnections(): Promise<number> {
  const text = await (await fetch(`${server.httpUrl}/metrics`)).text();
  const line = /^millstream_kafka_connections (\d+)/m.exec(text);
  if (line === null) throw new Error('no gauge millstream_kafka_connections');
  return Number(line[1]);
}

test('clients that ask and never read their answers hold little memory and are closed', async () => {
  const wire = await Wire.connect(server.bootstrap);
  for (const topic of TOPICS) await wire.createTopic(topic, FUZZ_PARTITIONS);
  wire.close();
  // Metadata of all topics, version 0: a small request with a large answer.
  const request = Buffer.from('0000001000030000000000070002757000000000', 'hex');
  request.writeInt32BE(request.length - 4, 0);
  const burst = Buffer.concat(Array.from({ length: 20_000 }, () => request));
  const before = server.residentBytes();
  let most = 0;
  const sockets: Socket[] = [];
  for (let i = 0; i < 10; i++) {
    const socket = await openSocket();
    socket.removeAllListeners('error').on('error', () => {});
    socket.pause();
    socket.write(burst);
    sockets.push(socket);
  }
  await eventually('the end of the silent readers', async () => {
    most = Math.max(most, server.residentBytes());
    return (await openConnections()) <= 1 || undefined;
  });
  for (const socket of sockets) socket.destroy();
  // What is unsent, what is waiting, and the young generation that V8 lets grow meanwhile.
  expect(most - before).toBeLessThanOrEqual(sockets.length * 32 * MIB);
  await stillWell();
});

test('more connections than are allowed are refused, and those that are there go on', async () => {
  const sockets: Socket[] = [];
  for (let i = 0; i < 400; i++) {
    const socket = await openSocket();
    socket.removeAllListeners('error').on('error', () => {});
    sockets.push(socket);
  }
  const refused = (): number => sockets.filter(socket => socket.closed).length;
  await eventually('refusals', () => refused() >= 100 || undefined);
  // The healthy client may itself be refused a new connection here; its own end is what matters, so it ends first.
  for (const socket of sockets) socket.destroy();
  const wire = await eventually('a new connection', async () => {
    const one = await Wire.connect(server.bootstrap);
    await one.apiVersions();
    return one;
  });
  expect((await wire.apiVersions()).length).toBeGreaterThan(10);
  wire.close();
  expect(server.alive).toBe(true);
  expect(server.errors).toEqual([]);
});
