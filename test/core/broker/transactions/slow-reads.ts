import { expect } from 'vitest';
import { seededRandom } from '../../../../core/base/random.ts';
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

/** What reads wait for, once they have read. */
export const gate: { until: Promise<unknown> } = { until: Promise.resolve() };

/** A broker with ten aborted transactions in topic orders, each in a segment of its own. */
export async function aborted(): Promise<TestBroker> {
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
