import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict';
import { silentLogger } from '../../../core/base/logger.ts';
import { type Random, seededRandom } from '../../../core/base/random.ts';
import { ProducerState } from '../../../core/broker/producer-state.ts';
import { type BatchHeader, nextOffsetAt } from '../../../core/log/batch.ts';
import { committedBatches } from '../../../core/log/committed-batches.ts';
import { type LocalLogStoreOptions, openLocalLogStore } from '../../../core/log/local-log-store.ts';
import type { LogConfig, LogObserver, LogStore, PartitionLog } from '../../../core/log/log.ts';
import { encodeMarker } from '../../../core/log/marker.ts';
import { readRecords } from '../../../core/log/record.ts';
import { LogOfKeys, text } from './compaction/log-of-keys.ts';
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
  for (let i = 0; i < count; i++) {
    const timestamp = run.clock.now() + (isRising ? i : 2 * each * Math.floor(i / each) - (i % each)) * 10;
    times.push(timestamp);
    const { durable } = appendValues(run.log, ['x'.repeat(4_100)], { timestamp });
    if (i % 10 === 0) await durable;
  }
  await settle();
  run.cut();
  await run.open(config);
  for (const timestamp of times.filter((_, i) => i % 9 === 0 || i % each === 0)) {
    const first = times.findIndex(other => other >= timestamp);
    strictEqual((await run.log.offsetForTimestamp(timestamp))?.offset, first, `lookup of ${timestamp}`);
  }
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

/** Compacted segments take their originals' place: whoever reads from wherever sees the one or the others. */
const swapped = (seed: number, skips: Skips): Promise<void> =>
  swap(seed, skips, (['it has', 'it is about to', 'they go'] as const)[seed % 3] ?? 'it has', false);

/** The same when a start does it, after a kill. */
const swapCompleted = (seed: number, skips: Skips): Promise<void> =>
  swap(seed, skips, seed % 2 === 0 ? 'they go' : 'it has', true);

async function swap(
  seed: number,
  skips: Skips,
  moment: 'it has' | 'it is about to' | 'they go',
  isRecovery: boolean,
): Promise<void> {
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random.float() * limit);
  const inPasses = moment === 'it is about to';
  const log = new LogOfKeys({ cacheBytes: 0, compactionBytes: inPasses ? 300 : 1e6 }, 900);
  log.disk = new FaultDisk(random);
  log.disk.skipsSync = skips;
  await log.open();
  const newest = new Map<string, number>();
  for (let i = 0; i < 14; i++) {
    const keys = [`own${i}`, `k${i % 4}`];
    const { baseOffset, durable } = log.append(keys.map(key => [key, 'x'.repeat(150)]));
    for (const [at, key] of keys.entries()) newest.set(key, baseOffset + at);
    await durable;
  }
  await log.roll();
  await settle(100);
  // Several become one.
  log.log.configure({ ...CONFIG, segmentBytes: 4_000 });
  void log.compact();
  if (isRecovery) {
    await heldAt(log.disk, 'rename', /\.swap$/, 1 + below(2));
    log.disk = log.disk.kill();
    log.disk.skipsSync = skips;
    void log.open();
  }
  if (moment === 'it has') await heldAt(log.disk, 'rename', /\.log$/, isRecovery ? 1 : 1 + below(3));
  else if (moment === 'they go') await heldAt(log.disk, 'remove', /\.log$/, 1 + below(3));
  else await heldAt(log.disk, 'rename', /\.swap$/, 1 + below(inPasses ? 8 : 3));
  log.disk = log.disk.cut({ names: 'some', data: 'some' });
  log.disk.skipsSync = skips;
  await log.open();
  const all = await log.records();
  const there = new Set(all.map(({ offset }) => offset));
  for (const [key, offset] of newest) ok(there.has(offset), `the newest ${key} at ${offset} is lost`);
  for (let from = log.log.startOffset; from < log.log.highWatermark; from++) {
    const { batches } = await log.log.read(from, 1);
    const first = batches.find(batch => nextOffsetAt(batch, 0) > from);
    for (const { offset, key } of first ? readRecords(first) : []) {
      ok(there.has(offset) || text(key)?.startsWith('filler'), `${text(key)} at ${offset} is back, read from ${from}`);
    }
  }
}

/** The indexes of a compacted segment are as durable as its records. */
async function compactedIndexes(seed: number, skips: Skips): Promise<void> {
  const log = new LogOfKeys({ cacheBytes: 0 }, 500_000);
  log.disk = new FaultDisk(seededRandom(seed));
  log.disk.skipsSync = skips;
  await log.open();
  const times: number[] = [];
  // As many as make indexes of several sectors.
  for (let i = 0; i < 110; i++) {
    times.push(log.clock.now());
    // Each key but the last comes twice, and goes once.
    log.append([
      [`k${i >> 1}`, 'x'.repeat(4_100)],
      [`own${i}`, 'y'],
    ]);
    log.clock.advance(10);
  }
  await log.roll();
  ok(await log.compact(), 'nothing was compacted');
  // Syncs their names.
  await log.store.close();
  log.disk = log.disk.cut();
  log.disk.skipsSync = skips;
  await log.open();
  for (const time of times) {
    strictEqual((await log.log.offsetForTimestamp(time))?.timestamp, time);
  }
}

export const STEERED_CUTS: Record<string, (seed: number, skips: Skips) => Promise<void>> = {
  'steered: directory found': found,
  'steered: indexes': indexes,
  'steered: aborted': aborted,
  'steered: outlived': outlived,
  'steered: removed': removed,
  'steered: full disk': full,
  'steered: swapped': swapped,
  'steered: swap completed': swapCompleted,
  'steered: compacted indexes': compactedIndexes,
};
