import { expect, test } from 'vitest';
import { silentLogger } from '../../../../core/base/logger.ts';
import { seededRandom } from '../../../../core/base/random.ts';
import { EmbeddedEngine } from '../../../../core/engine/embedded.ts';
import type { Lease } from '../../../../core/engine/engine.ts';
import type { LogStore, PartitionLog } from '../../../../core/log/log.ts';
import { FaultDisk } from '../../log/fault-disk.ts';
import { ManualClock } from '../../log/manual-clock.ts';
import { TestBroker } from '../harness.ts';
import { TransactionalClient } from './client.ts';

/** Logs whose reads are handed over once `until` resolves. */
function slowReads(store: LogStore, until: () => Promise<unknown>): LogStore {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name !== 'open') return typeof value === 'function' ? value.bind(target) : value;
      return async (...args: Parameters<LogStore['open']>): Promise<PartitionLog> =>
        slowLog(await target.open(...args), until);
    },
  });
}

function slowLog(log: PartitionLog, until: () => Promise<unknown>): PartitionLog {
  return new Proxy(log, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (name !== 'read') return value.bind(target);
      return async (...args: Parameters<PartitionLog['read']>) => {
        const result = await target.read(...args);
        await until();
        return result;
      };
    },
  });
}

const gate: { until: Promise<unknown> } = { until: Promise.resolve() };

/** Ten aborted transactions, each in a segment of its own. */
async function aborted(): Promise<TestBroker> {
  const broker = await TestBroker.open({
    directory: '/data',
    disk: new FaultDisk(seededRandom(1)),
    clock: new ManualClock(),
    config: { segmentBytes: 100 },
    wrapStore: store => slowReads(store, () => gate.until),
  });
  await broker.broker.topics.ensure({ name: 'orders', partitions: 1 });
  const client = new TransactionalClient(broker, 'writer');
  await client.init();
  for (let i = 0; i < 10; i++) expect(await client.transact('orders', 0, [`aborted ${i}`], false)).toBe(0);
  return broker;
}

/* The index of aborted transactions goes with the records: what was read just before must not pass for committed. */

test('a fetch of committed records shows no aborted one that is deleted while it is read', async () => {
  const broker = await aborted();
  const deleted = Promise.withResolvers<void>();
  gate.until = deleted.promise;
  const fetching = broker.fetch('orders', 0, 0, { isolationLevel: 1, partitionMaxBytes: 1 });
  await broker.broker.log('orders', 0)?.deleteBefore(12);
  deleted.resolve();
  const { errorCode, records, abortedTransactions } = await fetching;
  // Out of range, or with what hides them.
  if (errorCode === 0) expect(abortedTransactions?.length).toBeGreaterThan(0);
  else expect([errorCode, records?.length ?? 0]).toEqual([1, 0]);
  await broker.close();
});

test('a lease shows none either', async () => {
  const broker = await aborted();
  const engine = new EmbeddedEngine(broker.broker, silentLogger);
  const { promise, resolve } = Promise.withResolvers<Lease>();
  await engine.join('readers', ['orders'], { assigned: async lease => resolve(lease), revoked: async () => {} });
  const lease = await promise;
  const deleted = Promise.withResolvers<void>();
  gate.until = deleted.promise;
  const reading = lease.read(0n, 1);
  await broker.broker.log('orders', 0)?.deleteBefore(12);
  deleted.resolve();
  const [read] = await Promise.allSettled([reading]);
  if (read.status === 'rejected') expect(read.reason).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
  else expect(read.value.batches).toEqual([]);
  await engine.close();
  await broker.close();
});
