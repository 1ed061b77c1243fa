import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../../core/base/clock.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { nodeDisk } from '../../../core/base/node-disk.ts';
import { systemRandom } from '../../../core/base/random.ts';
import { Broker } from '../../../core/broker/broker.ts';
import { DEFAULT_BROKER_CONFIG } from '../../../core/broker/config.ts';
import { EmbeddedEngine } from '../../../core/engine/embedded.ts';
import type { Lease } from '../../../core/engine/engine.ts';
import { encodeBatch } from '../../../core/engine/records.ts';
import { openLocalLogStore } from '../../../core/log/local-log-store.ts';
import { type EngineFixture, engineConformance } from './conformance.ts';

engineConformance('embedded', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millstream-engine-'));
  let { broker, engine } = await open(directory);
  const abandoned: Broker[] = [];
  const fixture: EngineFixture = {
    engine,
    async produce(topic, partition, records) {
      await broker.produce(topic, partition, encodeBatch(records)).durable;
    },
    async crashAndRestart() {
      // Nothing is closed: the next one finds what a crash would leave, no clean marker and preallocated tails.
      abandoned.push(broker);
      ({ broker, engine } = await open(directory));
      fixture.engine = engine;
    },
    async stop() {
      await engine.close();
      await broker.close();
      for (const each of abandoned) await each.close().catch(() => {});
      await rm(directory, { recursive: true, force: true });
    },
  };
  return fixture;
});

test('lets no commit of the same turn overtake one that fails', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millstream-engine-'));
  const { broker, engine } = await open(directory);
  await engine.ensureTopic({ name: 'in', partitions: 1 });
  await engine.ensureTopic({ name: 'out', partitions: 1 });
  const leases: Lease[] = [];
  await engine.join('g', ['in'], { assigned: async lease => void leases.push(lease), revoked: async () => {} });
  const lease = leases[0] as Lease;
  const append = (topic: string) => [
    { topic, partition: 0, batch: encodeBatch([{ timestamp: 1, key: null, value: Buffer.from('x') }]) },
  ];
  for (let between = 0; between < 25; between++) {
    const first = lease.commit({ next: 1n, append: append('no-such-topic') });
    first.catch(() => {});
    for (let i = 0; i < between; i++) await Promise.resolve();
    const behind = lease.commit({ next: 2n, append: append('out') });
    const fates = (await Promise.allSettled([first, behind])).map(({ status }) => status);
    expect(fates, `${between} microtasks between them`).toEqual(['rejected', 'rejected']);
    await new Promise(resolve => setTimeout(resolve, 1));
  }
  expect(broker.committedOffset('g', 'in', 0)).toBeNull();
  await engine.close();
  await broker.close();
  await rm(directory, { recursive: true, force: true });
});

async function open(directory: string): Promise<{ broker: Broker; engine: EmbeddedEngine }> {
  const common = {
    disk: nodeDisk,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    metrics: new Metrics(),
  };
  const store = await openLocalLogStore({
    ...common,
    directory: join(directory, 'log'),
    fsync: true,
    flushIntervalMs: 1000,
    cacheBytes: 1024 * 1024,
  });
  const broker = await Broker.open({
    ...common,
    nodeId: 1,
    store,
    directory: join(directory, 'meta'),
    config: DEFAULT_BROKER_CONFIG,
    advertised: () => ({ host: '127.0.0.1', port: 9092 }),
  });
  return { broker, engine: new EmbeddedEngine(broker, silentLogger) };
}
