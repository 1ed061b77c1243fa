/**
 * Loaded into the server before anything of ours (`--import`): notes when each batch of `latency.in` came to which point of
 * its way, and what held the main thread. Written to $HOPS_FILE when the process ends.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';
import { TransactionStore } from '../core/broker/transactions/store.ts';
import { EmbeddedLease } from '../core/engine/embedded-lease.ts';
import { LocalPartitionLog } from '../core/log/partition-log.ts';
import { SlotLane } from '../etl/sandbox/lane.ts';

/** What the server hands over. Times in milliseconds of the system's monotonic clock. */
export interface ServerHops {
  /** Batches: [end offset, appended, durable]. */
  source: [number, number, number][];
  /** Tasks: [first offset, handed to the worker, back]. */
  tasks: [number, number, number][];
  /** Commits: [end offset, asked for, done]. */
  commits: [number, number, number][];
  /** Decisions of transactions: [outputs durable, decision durable]. */
  decisions: [number, number][];
  /** Collections of the main thread: [begin, milliseconds]. */
  collections: [number, number][];
  /** Timer ticks that came late: [when due, how late, how long the thread waited for a processor]. */
  late: [number, number, number][];
}

/** The same clock in all processes. */
export const monotonic = (): number => Number(process.hrtime.bigint()) / 1e6;

const { HOPS_FILE: file } = process.env;

if (isMainThread && file !== undefined) record(file);

function record(into: string): void {
  const hops: ServerHops = { source: [], tasks: [], commits: [], decisions: [], collections: [], late: [] };
  around(LocalPartitionLog.prototype, 'append', (log, call) => {
    const began = monotonic();
    const appended = call();
    if (log.id.topic === 'latency.in') {
      const { lastOffset } = appended;
      void appended.durable.then(() => hops.source.push([lastOffset + 1, began, monotonic()]));
    }
    return appended;
  });
  around(SlotLane.prototype, 'run', async (_, call, [task]) => {
    const began = monotonic();
    const result = await call();
    hops.tasks.push([task.from, began, monotonic()]);
    return result;
  });
  around(EmbeddedLease.prototype, 'commit', async (_, call, [commit]) => {
    const began = monotonic();
    const done = await call();
    hops.commits.push([Number(commit.next), began, monotonic()]);
    return done;
  });
  around(TransactionStore.prototype, 'save', async (_, call) => {
    const began = monotonic();
    await call();
    hops.decisions.push([began, monotonic()]);
  });
  const offset = monotonic() - performance.now();
  new PerformanceObserver(list => {
    for (const { startTime, duration } of list.getEntries()) hops.collections.push([startTime + offset, duration]);
  }).observe({ entryTypes: ['gc'] });
  let last = monotonic();
  let waited = waitedMs();
  setInterval(() => {
    const now = monotonic();
    const waitedNow = waitedMs();
    if (now - last > 3) hops.late.push([last + 1, now - last - 1, waitedNow - waited]);
    last = now;
    waited = waitedNow;
  }, 1).unref();
  process.once('exit', () => writeFileSync(into, JSON.stringify(hops)));
}

/** How long the main thread has been ready to run and had no processor (Linux; elsewhere 0). */
function waitedMs(): number {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
  } catch {
    return 0;
  }
}

/** Puts `wrapped` around a method. */
function around<T, K extends keyof T>(
  prototype: T,
  name: K,
  wrapped: (self: T, call: () => ReturnType<Method<T[K]>>, of: Parameters<Method<T[K]>>) => ReturnType<Method<T[K]>>,
): void {
  const method = prototype[name] as Method<T[K]>;
  const put = function (this: T, ...of: Parameters<Method<T[K]>>): ReturnType<Method<T[K]>> {
    return wrapped(this, () => Reflect.apply(method, this, of) as ReturnType<Method<T[K]>>, of);
  };
  prototype[name] = put as T[K];
}

type Method<F> = F extends (...of: infer A) => infer R ? (...of: A) => R : never;
