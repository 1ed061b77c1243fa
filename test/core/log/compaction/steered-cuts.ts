import { ok, strictEqual } from 'node:assert/strict';
import { seededRandom } from '../../../../core/base/random.ts';
import { nextOffsetAt } from '../../../../core/log/batch.ts';
import { readRecords } from '../../../../core/log/record.ts';
import { indexesHold } from '../durable-indexes.ts';
import { FaultDisk } from '../fault-disk.ts';
import { CONFIG } from '../harness.ts';
import { heldAt, settle, type Skips } from '../moments.ts';
import { LogOfKeys, text } from './log-of-keys.ts';

/* Cuts at moments of a compaction that random ones meet too seldom. */

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
  const before = log.disk;
  log.disk = log.disk.cut();
  indexesHold(before, log.disk);
  log.disk.skipsSync = skips;
  await log.open();
  for (const time of times) {
    strictEqual((await log.log.offsetForTimestamp(time))?.timestamp, time);
  }
}

export const STEERED_COMPACTIONS: Record<string, (seed: number, skips: Skips) => Promise<void>> = {
  'steered: swapped': swapped,
  'steered: swap completed': swapCompleted,
  'steered: compacted indexes': compactedIndexes,
};
