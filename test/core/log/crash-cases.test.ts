import { expect, test } from 'vitest';
import { silentLogger } from '../../../core/base/logger.ts';
import { seededRandom } from '../../../core/base/random.ts';
import type { BatchHeader } from '../../../core/log/batch.ts';
import { openLocalLogStore } from '../../../core/log/local-log-store.ts';
import type { LogObserver, PartitionLog } from '../../../core/log/log.ts';
import { FaultDisk } from './fault-disk.ts';
import { appendValues, CONFIG, ID, readValues } from './harness.ts';
import { ManualClock } from './manual-clock.ts';

/* Crashes that random runs (crash.test.ts) meet too seldom to rely on. */

const config = { ...CONFIG, segmentBytes: 3_000 };

async function openOn(disk: FaultDisk, observer?: LogObserver, settings = config): Promise<PartitionLog> {
  const store = await openLocalLogStore({
    directory: '/data',
    disk,
    clock: new ManualClock(),
    logger: silentLogger,
    fsync: true,
    flushIntervalMs: 1000,
    cacheBytes: 0,
    preallocateBytes: 0,
  });
  return store.open(ID, settings, observer);
}

const valueOf = (text: string | number): string => String(text).padEnd(500, '.');

test('what an earlier life left behind a cut is not taken for a part of the log', async () => {
  for (let seed = 0; seed < 40; seed++) {
    const disk = new FaultDisk(seededRandom(seed));
    const log = await openOn(disk);
    await appendValues(log, [valueOf('kept')]).durable;
    for (const value of ['x', 'y', 'z']) appendValues(log, [valueOf(value)]);
    // Of the three, some are torn or gone while later ones are there.
    const second = disk.cut();
    const reopened = await openOn(second);
    const before = await readValues(reopened);
    await appendValues(reopened, [valueOf('new')]).durable;
    const last = await openOn(second.cut());
    expect(await readValues(last)).toEqual([...before, valueOf('new')]);
  }
});

test('what a restart serves after kill -9 is still there after a power cut', async () => {
  for (let seed = 0; seed < 20; seed++) {
    const disk = new FaultDisk(seededRandom(seed));
    const log = await openOn(disk);
    // The second segment's name was never synced.
    for (let i = 0; i < 8; i++) appendValues(log, [valueOf(i)]);
    const killed = disk.kill();
    const served = await readValues(await openOn(killed));
    expect(served).toHaveLength(8);
    expect(await readValues(await openOn(killed.cut()))).toEqual(served);
  }
});

test('segments that a full disk made room by removing leave no hole behind', async () => {
  for (let seed = 0; seed < 40; seed++) {
    const disk = new FaultDisk(seededRandom(seed));
    const log = await openOn(disk, undefined, { ...config, retentionBytes: 3_000 });
    for (let i = 0; i < 24; i++) await appendValues(log, [valueOf(i)]).durable;
    for (let turns = 0; turns < 60; turns++) await disk.exists('/');
    disk.leaveRoom(0);
    const retention = log.enforceRetention(0, log.highWatermark);
    for (let turns = 0; turns < seed; turns++) await new Promise(resolve => setImmediate(resolve));
    const reopened = await openOn(disk.cut());
    expect(reopened.endOffset).toBe(24);
    const from = reopened.startOffset;
    expect(await readValues(reopened)).toEqual(Array.from({ length: 24 - from }, (_, i) => valueOf(from + i)));
    // It belongs to a process that is gone.
    void retention;
  }
});

class Counter implements LogObserver {
  seen = 0;
  restore(snapshot: Uint8Array | null): void {
    this.seen = Number(snapshot ?? 0);
  }
  batch(header: BatchHeader): void {
    this.seen += header.recordCount;
  }
  snapshot(): Uint8Array {
    return Buffer.from(String(this.seen));
  }
}

test('the state that was made from deleted records is not lost with them', async () => {
  const disk = new FaultDisk(seededRandom(1));
  const log = await openOn(disk, new Counter());
  for (let i = 0; i < 5; i++) await appendValues(log, [valueOf(i)]).durable;
  await log.deleteBefore(5);
  // Rolls; the process ends before the old segment was sealed.
  appendValues(log, [valueOf(5)]);
  const observer = new Counter();
  const reopened = await openOn(disk.kill(), observer);
  expect([reopened.startOffset, reopened.endOffset]).toEqual([5, 6]);
  expect(observer.seen).toBe(6);
});
