import { LocalPartitionLog } from '../../core/log/partition-log.ts';
import type { LogStore, PartitionLog } from '../../core/log/log.ts';
import type { Seams } from './life.ts';

/* Defects other than a missing sync, each put in at a seam of the simulation. */

/** The same object with another method in place of one of its own. */
function replacing<T extends object, K extends keyof T>(object: T, method: K, other: T[K]): T {
  return new Proxy(object, {
    get(target, name) {
      if (name === method) return other;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The same store, with another `append` in each log. */
function withAppend(store: LogStore, append: (log: PartitionLog) => PartitionLog['append']): LogStore {
  return replacing(store, 'open', async (...args: Parameters<LogStore['open']>) => {
    const log = await store.open(...args);
    return replacing(log, 'append', append(log));
  });
}

export const DEFECTS: Record<string, Seams> = {
  'an append is acknowledged before its sync': {
    wrapStore: store =>
      withAppend(store, log => (...args) => ({ ...log.append(...args), durable: Promise.resolve() })),
  },
  'what is above the high watermark is served': {
    wrapStore: store =>
      withAppend(store, log => (...args) => {
        const appended = log.append(...args);
        if (log instanceof LocalPartitionLog) log.highWatermark = log.endOffset;
        return appended;
      }),
  },
  'the position is committed before the outputs': {
    wrapHost: host =>
      replacing(host, 'ownTransactions', async (id: string) => {
        const owner = await host.ownTransactions(id);
        return replacing(owner, 'commit', async (commit: Parameters<typeof owner.commit>[0]) => {
          const { offsets, ...rest } = commit;
          for (const { topic, partition, offset, metadata } of offsets?.positions ?? []) {
            await host.commitOffset(offsets?.group ?? '', topic, partition, { offset, metadata: metadata ?? '' });
          }
          return owner.commit(rest);
        });
      }),
  },
};
