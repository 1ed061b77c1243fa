import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../core/base/clock.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { systemRandom } from '../../../core/base/random.ts';
import { Broker } from '../../../core/broker/broker.ts';
import { DEFAULT_BROKER_CONFIG } from '../../../core/broker/config.ts';
import { EmbeddedEngine } from '../../../core/engine/embedded.ts';
import type { Lease, Peer } from '../../../core/engine/engine.ts';
import { encodeBatch } from '../../../core/engine/records.ts';
import type { LogStore } from '../../../core/log/log.ts';
import { openLocalLogStore } from '../../../core/log/local-log-store.ts';
import { FaultyDisk } from '../../connectors/faulty-disk.ts';

/** Who takes a partition over while commits of its last owner are still under way. */
describe('a takeover on the embedded engine', () => {
  let directory: string;
  let disk: FaultyDisk;
  let store: LogStore;
  let broker: Broker;
  let engine: EmbeddedEngine;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'millstream-takeover-'));
    disk = new FaultyDisk();
    const parts = { disk, clock: systemClock, random: systemRandom, logger: silentLogger, metrics: new Metrics() };
    store = await openLocalLogStore({
      ...parts,
      directory: join(directory, 'log'),
      fsync: true,
      flushIntervalMs: 1000,
      cacheBytes: 1024 * 1024,
    });
    broker = await Broker.open({
      ...parts,
      nodeId: 1,
      store,
      directory: join(directory, 'meta'),
      config: DEFAULT_BROKER_CONFIG,
      advertised: () => ({ host: '127.0.0.1', port: 9092 }),
    });
    engine = new EmbeddedEngine(broker, silentLogger);
    await engine.ensureTopic({ name: 'in', partitions: 2 });
    await engine.ensureTopic({ name: 'out', partitions: 1 });
  });
  afterEach(async () => {
    await engine.close();
    await broker.close();
    await store.close();
    await rm(directory, { recursive: true, force: true });
  });

  /** Whoever joins gets both partitions of `in`. */
  const join2 = async (assigned: (lease: Lease) => Promise<void> = async () => {}, revoked = async () => {}) => {
    const leases: Lease[] = [];
    const membership = await engine.join('g', ['in'], {
      assigned: async lease => {
        leases[lease.partition] = lease;
        await assigned(lease);
      },
      revoked,
    });
    return { leases: leases as [Lease, Lease], membership };
  };
  const append = () => [
    { topic: 'out', partition: 0, batch: encodeBatch([{ timestamp: 1, key: null, value: Buffer.from('x') }]) },
  ];
  const turns = async (): Promise<void> => {
    for (let i = 0; i < 50; i++) await new Promise(resolve => setTimeout(resolve, 1));
  };

  it('finds a commit of the last owner that lands after its lease has ended', async () => {
    const first = await join2();
    // The data that it appends is not on disk yet: it can neither be committed nor be given up.
    const held = Promise.withResolvers<void>();
    let isHeld = false;
    disk.before = (call, path) => {
      if (call !== 'datasync' || !path.includes('out-0')) return;
      isHeld = true;
      return held.promise;
    };
    const late = first.leases[1].commit({ next: 7n, state: 'late', append: append() });
    await first.membership.leave();
    await turns();
    expect(isHeld).toBe(true);

    let found: Peer[] | null = null;
    const second = join2(async lease => {
      if (lease.partition === 0) found = await lease.peers();
    });
    await turns();
    // Nobody may be told yet what the group has committed.
    expect(found).toBe(null);
    held.resolve();
    await late;
    const { leases } = await second;
    const position = { next: 7n, state: 'late' };
    expect(found).toEqual([{ topic: 'in', partition: 1, position }]);
    expect(leases[1].position).toEqual(position);
    expect(leases[1].start).toBe(7n);
    // It goes on from there, state included.
    await leases[1].commit({ next: 8n });
    expect(await leases[0].peers()).toEqual([{ topic: 'in', partition: 1, position: { next: 8n, state: 'late' } }]);
  });

  it('finds a position that was committed without appends at once', async () => {
    const first = await join2();
    const late = first.leases[1].commit({ next: 3n, state: 'late' });
    await first.membership.leave();
    const { leases } = await join2();
    expect(leases[1].position).toEqual({ next: 3n, state: 'late' });
    await late;
    await expect(first.leases[1].commit({ next: 9n })).rejects.toMatchObject({ code: 'FENCED' });
  });

  it('of a topic that was made anew finds nothing of the topic before', async () => {
    const drained = Promise.withResolvers<void>();
    const { leases, membership } = await join2(undefined, () => drained.promise);
    await leases[0].commit({ next: 1n, state: 'old' });
    await broker.topics.delete('in');
    // Its member is still winding up.
    expect(leases[0].signal.aborted).toBe(false);
    await expect(leases[0].commit({ next: 2n, state: 'old' })).rejects.toMatchObject({ code: 'FENCED' });
    drained.resolve();
    await membership.leave();
    await engine.ensureTopic({ name: 'in', partitions: 2 });
    const again = await join2();
    expect(again.leases[0].position).toBe(null);
  });
});
