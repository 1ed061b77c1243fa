import { expect, test } from 'vitest';
import { silentLogger } from '../../../core/base/logger.ts';
import { seededRandom } from '../../../core/base/random.ts';
import { openLocalLogStore } from '../../../core/log/local-log-store.ts';
import type { LogStore } from '../../../core/log/log.ts';
import { FaultDisk } from './fault-disk.ts';
import { appendValues, batchOf, CONFIG, headersOf, ID, readValues } from './harness.ts';
import { ManualClock } from './manual-clock.ts';

function openOn(disk: FaultDisk, options: { fsync?: boolean; clock?: ManualClock } = {}): Promise<LogStore> {
  return openLocalLogStore({
    directory: '/data',
    disk,
    clock: options.clock ?? new ManualClock(),
    logger: silentLogger,
    fsync: options.fsync ?? true,
    flushIntervalMs: 1000,
    cacheBytes: 0,
  });
}

async function settled(disk: FaultDisk): Promise<void> {
  for (let i = 0; i < 50; i++) await disk.exists('/');
}

test('a full disk refuses an append without a trace, and the next one works when there is room', async () => {
  const disk = new FaultDisk(seededRandom(1));
  const store = await openOn(disk);
  const log = await store.open(ID, CONFIG);
  await appendValues(log, ['before']).durable;
  await settled(disk);
  disk.leaveRoom(100);
  const bytes = Buffer.concat([batchOf(['fits'.padEnd(300_000)]), batchOf(['does not'.padEnd(300_000)])]);
  expect(() => log.append(bytes, headersOf(bytes))).toThrowError(
    expect.objectContaining({ kind: 'unavailable', code: 'DISK_FULL', retriable: true }),
  );
  expect([log.endOffset, store.failed]).toEqual([1, null]);
  expect(await readValues(log)).toEqual(['before']);
  disk.leaveRoom(Infinity);
  await appendValues(log, ['after']).durable;
  expect(await readValues(log)).toEqual(['before', 'after']);

  const reopened = await (await openOn(disk.kill())).open(ID, CONFIG);
  expect(await readValues(reopened)).toEqual(['before', 'after']);
});

test('a full disk refuses a roll without a trace, and retention makes room again', async () => {
  const disk = new FaultDisk(seededRandom(2));
  const store = await openOn(disk);
  const config = { ...CONFIG, segmentBytes: 5_000, retentionBytes: 5_000 };
  const log = await store.open(ID, config);
  const value = (i: number): string => `${i}`.padEnd(1500);
  for (let i = 0; i < 12; i++) await appendValues(log, [value(i)]).durable;
  await settled(disk);
  disk.leaveRoom(0);
  const tries = (): void => {
    for (let i = 12; i < 20; i++) appendValues(log, [value(i)]);
  };
  expect(tries).toThrowError(expect.objectContaining({ code: 'DISK_FULL' }));
  await log.enforceRetention(0, log.endOffset);
  expect(log.startOffset).toBeGreaterThan(0);
  const end = log.endOffset;
  await appendValues(log, [value(end)]).durable;
  expect((await readValues(log)).map(Number)).toEqual(
    Array.from({ length: end + 1 - log.startOffset }, (_, i) => log.startOffset + i),
  );
});

test('short writes are carried on with', async () => {
  const disk = new FaultDisk(seededRandom(3));
  disk.faults.shortWrites = 0.7;
  const log = await (await openOn(disk)).open(ID, CONFIG);
  const values = Array.from({ length: 50 }, (_, i) => `${i}`.padEnd(700));
  await Promise.all(values.map(value => appendValues(log, [value]).durable));
  expect(await readValues(log)).toEqual(values);
});

test('after a sync that failed nothing is acknowledged or written until a restart, and readers go on', async () => {
  const disk = new FaultDisk(seededRandom(4));
  const store = await openOn(disk);
  const [log, other] = [await store.open(ID, CONFIG), await store.open({ ...ID, partition: 1 }, CONFIG)];
  await appendValues(log, ['kept']).durable;
  disk.faults.datasyncsUntilFailure = 0;
  const lost = appendValues(log, ['lost']);
  await expect(lost.durable).rejects.toMatchObject({ kind: 'unavailable', code: 'STORAGE_ERROR' });
  disk.faults.datasyncsUntilFailure = Infinity;
  expect(store.failed).toMatchObject({ code: 'STORAGE_ERROR' });
  for (const each of [log, other]) {
    expect(() => appendValues(each, ['no'])).toThrowError(expect.objectContaining({ code: 'STORAGE_ERROR' }));
    await expect(each.deleteBefore(0)).rejects.toMatchObject({ code: 'STORAGE_ERROR' });
  }
  expect(log.highWatermark).toBe(1);
  expect(await readValues(log)).toEqual(['kept']);
  await store.close();

  // The pages that could not be written are gone; no clean stop was noted.
  const again = await openOn(disk.cut());
  const reopened = await again.open(ID, CONFIG);
  expect(await readValues(reopened)).toEqual(['kept']);
  expect(reopened.leaderEpoch).toBe(1);
  await appendValues(reopened, ['next']).durable;
  expect(await readValues(reopened)).toEqual(['kept', 'next']);
});

test('with fsync off what is written is synced in the background, and a failure there is not passed over', async () => {
  const disk = new FaultDisk(seededRandom(5));
  const clock = new ManualClock();
  const store = await openOn(disk, { fsync: false, clock });
  const log = await store.open(ID, CONFIG);
  await appendValues(log, ['a']).durable;
  clock.advance(1000);
  await settled(disk);
  disk.faults.datasyncsUntilFailure = 0;
  await appendValues(log, ['b']).durable;
  expect(store.failed).toBeNull();
  clock.advance(1000);
  await settled(disk);
  expect(store.failed).toMatchObject({ code: 'STORAGE_ERROR' });
  const reopened = await (await openOn(disk.cut())).open(ID, CONFIG);
  expect(await readValues(reopened)).toEqual(['a']);
});
