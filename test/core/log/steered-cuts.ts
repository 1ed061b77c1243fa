import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict';
import { silentLogger } from '../../../core/base/logger.ts';
import { type Random, seededRandom } from '../../../core/base/random.ts';
import { ProducerState } from '../../../core/broker/producer-state.ts';
import type { BatchHeader } from '../../../core/log/batch.ts';
import { committedBatches } from '../../../core/log/committed-batches.ts';
import { type LocalLogStoreOptions, openLocalLogStore } from '../../../core/log/local-log-store.ts';
import type { LogConfig, LogObserver, LogStore, PartitionLog } from '../../../core/log/log.ts';
import { encodeMarker } from '../../../core/log/marker.ts';
import { readRecords } from '../../../core/log/record.ts';
import { text } from './compaction/log-of-keys.ts';
import { STEERED_COMPACTIONS } from './compaction/steered-cuts.ts';
import { indexesHold, pointsIn } from './durable-indexes.ts';
import { FaultDisk } from './fault-disk.ts';
import { appendValues, CONFIG, headersOf, ID, readValues } from './harness.ts';
import { ManualClock } from './manual-clock.ts';
import { heldAt, settle, type Skips, untilNamed } from './moments.ts';

/*
 * Moments that random cuts meet too seldom: each of these drives a log to one of them, cuts the power right there, and
 * looks at what a start makes of it. `skips` is asked at every sync: true makes it one that does nothing.
 */
class Log {
  readonly random: Random;
  readonly clock = new ManualClock();
  store!: LogStore;
  log!: PartitionLog;
  disk: FaultDisk;
  private readonly skips: Skips;

  constructor(seed: number, skips: Skips) {
    this.random = seededRandom(seed);
    this.skips = skips;
    this.disk = new FaultDisk(this.random);
  }

  below(limit: number): number {
    return Math.floor(this.random.float() * limit);
  }

  async open(
    config: Partial<LogConfig>,
    options: Partial<LocalLogStoreOptions> = {},
    observer?: LogObserver,
    id = ID,
  ): Promise<PartitionLog> {
    await this.openStore(options);
    this.log = await this.store.open(id, { ...CONFIG, ...config }, observer);
    return this.log;
  }

  async openStore(options: Partial<LocalLogStoreOptions> = {}): Promise<void> {
    this.disk.skipsSync = this.skips;
    this.store = await openLocalLogStore({
      directory: '/data',
      disk: this.disk,
      clock: this.clock,
      logger: silentLogger,
      fsync: true,
      flushIntervalMs: 1000,
      cacheBytes: 0,
      preallocateBytes: 0,
      ...options,
    });
  }

  cut(): void {
    this.disk = this.disk.cut({ names: 'some', data: 'some' });
  }

  kill(): void {
    this.disk = this.disk.kill();
  }

  /** Until that many such changes of a name have been made. */
  async untilNamed(path: RegExp, count = 1): Promise<void> {
    await untilNamed(this.disk, path, count);
  }
}

/** Lookups by time use the indexes as they were stored, of closed segments and of the one that a checkpoint was made of. */
async function indexes(seed: number, skips: Skips): Promise<void> {
  const run = new Log(seed, skips);
  const isRising = seed % 2 === 0;
  const config = { segmentBytes: 400_000 };
  // About as many fit a segment: each begins with its greatest, and all above those before.
  const each = 95;
  await run.open(config, { recoveryBytes: 60_000 });
  const times: number[] = [];
  const count = 220 + run.below(60);
  const killedAt = seed % 3 === 0 ? run.below(count) : -1;
  for (let i = 0; i < count; i++) {
    if (i === killedAt) {
      // Segments that recovery has to close.
      run.kill();
      await run.open(config, { recoveryBytes: 60_000 });
      if (run.log.endOffset < i) i = run.log.endOffset;
      times.length = i;
    }
    const timestamp = run.clock.now() + (isRising ? i : 2 * each * Math.floor(i / each) - (i % each)) * 10;
    times.push(timestamp);
    const { durable } = appendValues(run.log, ['x'.repeat(4_100)], { timestamp });
    if (i % 10 === 0) await durable;
  }
  await settle();
  if (seed % 3 === 1) await run.store.close();
  const before = run.disk;
  run.cut();
  indexesHold(before, run.disk);
  await run.open(config);
  for (const timestamp of times.filter((_, i) => i % 9 === 0 || i % each === 0)) {
    const first = times.findIndex(other => other >= timestamp);
    strictEqual((await run.log.offsetForTimestamp(timestamp))?.offset, first, `lookup of ${timestamp}`);
  }
}

/** Syncs of segments are done as `how` says. */
function slowSegmentSyncs(disk: FaultDisk, how: (datasync: () => Promise<void>) => Promise<void>): void {
  const open = disk.openSync.bind(disk);
  disk.openSync = (path, mode) => {
    const file = open(path, mode);
    const datasync = file.datasync.bind(file);
    if (path.endsWith('.log')) file.datasync = () => how(datasync);
    return file;
  };
}

/** A closed log has all its files, and has answered whoever waited for a sync. */
async function closed(seed: number, skips: Skips): Promise<void> {
  const run = new Log(seed, skips);
  let isFirst = true;
  slowSegmentSyncs(run.disk, async datasync => {
    const isSlow = isFirst && seed % 2 === 0;
    isFirst = false;
    if (isSlow) await settle(100);
    await datasync();
  });
  await run.open({ segmentBytes: 100_000 });
  isFirst = true;
  const acks: Promise<void>[] = [];
  for (let i = 3 + run.below(6); i > 0; i--) {
    acks.push(appendValues(run.log, ['x'.repeat(4_100)]).durable);
    if (run.below(2) === 0) await settle(2);
  }
  for (const ack of acks) ack.catch(() => {});
  await run.store.close();
  await Promise.all(acks);
  const before = run.disk;
  run.cut();
  indexesHold(before, run.disk);
}

/** A checkpoint says nothing of what no sync has come back for, however slow the disk is. */
async function slowSync(seed: number, skips: Skips): Promise<void> {
  const run = new Log(seed, skips);
  let isSlow = false;
  slowSegmentSyncs(run.disk, datasync => (isSlow ? new Promise(() => {}) : datasync()));
  await run.open({ segmentBytes: 100_000 }, { recoveryBytes: 2_000 });
  const count = 1 + run.below(5);
  for (let i = 0; i < count; i++) await appendValues(run.log, ['x'.repeat(run.below(900))]).durable;
  isSlow = true;
  void appendValues(run.log, ['x'.repeat(4_000)]);
  await settle();
  run.disk = run.disk.cut({ names: 'kept', data: 'lost' });
  const log = await run.open({ segmentBytes: 100_000 });
  strictEqual(log.endOffset, count);
  ok(Math.max(0, ...pointsIn(run.disk).values()) <= count, 'the recovery point lies behind what was synced');
}

/** What tells aborted records lies in files of its own, which snapshots of the producers' state rely on. */
async function aborted(seed: number, skips: Skips): Promise<void> {
  const run = new Log(seed, skips);
  const how = (['roll', 'checkpoint', 'close'] as const)[seed % 3] ?? 'roll';
  const config = { segmentBytes: how === 'roll' ? 1_500 : 100_000 };
  const options = { recoveryBytes: how === 'checkpoint' ? 2_000 : 1e9 };
  let producers = new ProducerState(run.clock);
  await run.open(config, options, producers);
  const sequences = new Map<number, number>();
  const transact = async (producerId: number, kind: 'commit' | 'abort'): Promise<void> => {
    for (let i = 1 + run.below(2); i > 0; i--) {
      const baseSequence = sequences.get(producerId) ?? 0;
      sequences.set(producerId, baseSequence + 1);
      const value = `${kind} ${'.'.repeat(run.below(300))}`;
      appendValues(run.log, [value], { producerId, producerEpoch: 0, baseSequence, attributes: 0x10 });
    }
    const marker = encodeMarker({ kind, coordinatorEpoch: 0, producerId, producerEpoch: 0, timestamp: 1 });
    await run.log.append(marker, headersOf(marker)).durable;
  };
  const some = async (): Promise<void> => {
    for (let i = 2 + run.below(how === 'close' ? 3 : 8); i > 0; i--)
      await transact(1 + run.below(2), i % 2 === 0 ? 'abort' : 'commit');
  };
  await some();
  if (run.below(2) === 0) {
    // Segments that recovery has to close.
    run.kill();
    producers = new ProducerState(run.clock);
    await run.open(config, options, producers);
    if (run.below(2) === 0) await some();
  }
  const atSnapshot = run.below(2) === 0;
  const named = run.untilNamed(/\.snapshot$/, how === 'close' ? 1 : 1 + run.below(2));
  if (how === 'close') void run.store.close();
  else await Promise.race([named, some()]);
  await (atSnapshot ? named : settle());
  run.cut();
  const log = await run.open(config, options, new ProducerState(run.clock));
  for (let offset = log.startOffset; offset < log.lastStableOffset; ) {
    const { batches, nextOffset } = await log.read(offset, 400, log.lastStableOffset);
    for (const batch of committedBatches(batches, log.abortedWithin(offset, nextOffset))) {
      for (const { value } of readRecords(batch))
        ok(text(value)?.startsWith('commit'), 'an aborted record is delivered');
    }
    offset = nextOffset;
  }
}

/** A log directory that a process was killed over while it made it. */
async function found(seed: number, skips: Skips): Promise<void> {
  const run = new Log(seed, skips);
  void run.open({});
  await run.untilNamed(/^\/data$/);
  run.kill();
  await run.open({});
  await appendValues(run.log, ['x']).durable;
  run.disk = run.disk.cut({ names: 'lost', data: 'lost' });
  strictEqual((await run.open({})).endOffset, 1);
}

class Counter implements LogObserver {
  seen = 0;
  restore(snapshot: Uint8Array | null): void {
    this.seen = 0;
    if (!snapshot) return;
    const match = /^seen (\d+)$/.exec(Buffer.from(snapshot).toString());
    if (!match) throw new Error('no snapshot');
    this.seen = Number(match[1]);
  }
  batch(header: BatchHeader): void {
    this.seen += header.recordCount;
  }
  snapshot(): Uint8Array {
    return Buffer.from(`seen ${this.seen}`);
  }
}

/** The state that was made from deleted records is not lost with them. */
async function outlived(seed: number, skips: Skips): Promise<void> {
  const run = new Log(seed, skips);
  const config = { segmentBytes: 1_000 };
  await run.open(config, {}, new Counter());
  const count = 4 + run.below(8);
  for (let i = 0; i < count; i++) await appendValues(run.log, ['x'.repeat(200 + run.below(200))]).durable;
  await run.log.deleteBefore(count - run.below(3));
  if (run.below(2) === 0) await settle(20);
  run.cut();
  const observer = new Counter();
  const log = await run.open(config, {}, observer);
  deepStrictEqual([log.endOffset, observer.seen], [count, count]);
}

/** A log whose removal was cut off is there as a whole, or gone: one made anew by its name finds nothing of it. */
async function removed(seed: number, skips: Skips): Promise<void> {
  const run = new Log(seed, skips);
  await run.open({ segmentBytes: 1_000 });
  const count = 4 + run.below(8);
  for (let i = 0; i < count; i++) await appendValues(run.log, ['x'.repeat(300)]).durable;
  await settle(60);
  void run.store.remove(ID);
  if (run.below(4) === 0) await settle(run.below(40));
  else await run.untilNamed(/-delete\//, 1 + run.below(8));
  run.cut();
  await run.openStore();
  if ((await run.store.list()).length > 0) {
    const log = await run.store.open(ID, CONFIG);
    strictEqual((await readValues(log)).length, count);
    await run.store.remove(ID);
  }
  const anew = await run.store.open({ ...ID, topicId: 'ffeeddccbbaa99887766554433221100' }, CONFIG);
  strictEqual(anew.endOffset, 0);
}

/** On a full disk segments are removed before the new start is stored: what a crash leaves of them is the log's end. */
async function full(seed: number, skips: Skips): Promise<void> {
  const run = new Log(seed, skips);
  await run.open({ segmentBytes: 1_000 });
  const count = 12 + run.below(8);
  for (let i = 0; i < count; i++) await appendValues(run.log, ['x'.repeat(300)]).durable;
  await settle();
  run.disk.leaveRoom(0);
  const start = count - 1 - run.below(3);
  void run.log.deleteBefore(start);
  await heldAt(run.disk, 'remove', /\.log$/, 1 + run.below(4));
  run.cut();
  run.disk.leaveRoom(Infinity);
  const log = await run.open({ segmentBytes: 1_000 });
  ok(log.startOffset <= start, `the log begins at ${log.startOffset}, ${start} was asked for`);
  strictEqual(log.endOffset, count);
  strictEqual((await readValues(log)).length, count - log.startOffset);
}

export const STEERED_CUTS: Record<string, (seed: number, skips: Skips) => Promise<void>> = {
  ...STEERED_COMPACTIONS,
  'steered: directory found': found,
  'steered: indexes': indexes,
  'steered: closed': closed,
  'steered: slow sync': slowSync,
  'steered: aborted': aborted,
  'steered: outlived': outlived,
  'steered: removed': removed,
  'steered: full disk': full,
};
