import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodeBatch, readRecords } from '../../../core/log/record.ts';
import type { LogConfig, LogStore, PartitionLog } from '../../../core/log/log.ts';
import { appendValues, batchOf, CONFIG, headersOf, ID, openStore, readValues, temporaryDirectory } from './harness.ts';
import { ManualClock } from './manual-clock.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let stores: LogStore[];

beforeEach(async () => {
  directory = await temporaryDirectory();
  stores = [];
});
afterEach(async () => {
  for (const store of stores) await store.close();
  await directory.cleanUp();
});

async function openLog(
  config: Partial<LogConfig> = {},
  options: Parameters<typeof openStore>[1] = {},
): Promise<PartitionLog> {
  const store = await openStore(directory.path, options);
  stores.push(store);
  return store.open(ID, { ...CONFIG, ...config });
}

describe('append', () => {
  test('gives offsets and epoch to every batch of one append, in the bytes and in the headers', async () => {
    const log = await openLog();
    await appendValues(log, ['before']).durable;
    const bytes = Buffer.concat([batchOf(['a', 'b']), batchOf(['c'])]);
    const headers = headersOf(bytes);
    const appended = log.append(bytes, headers);
    expect(appended).toMatchObject({ baseOffset: 1, lastOffset: 3 });
    expect(headers.map(header => [header.baseOffset, header.leaderEpoch])).toEqual([
      [1, 0],
      [3, 0],
    ]);
    await appended.durable;
    const { batches, nextOffset, sizeBytes } = await log.read(0, 100_000);
    expect(batches.map(batch => readRecords(batch).map(record => record.offset))).toEqual([[0], [1, 2], [3]]);
    expect(nextOffset).toBe(4);
    expect(sizeBytes).toBe(log.sizeBytes);
  });

  test('is readable only once it is durable, and says so to listeners once for each advance', async () => {
    const log = await openLog();
    const seen: number[] = [];
    const stop = log.onAdvance(() => seen.push(log.highWatermark));
    const first = appendValues(log, ['a']);
    appendValues(log, ['b']);
    expect((await log.read(0, 1000)).batches).toEqual([]);
    await expect(log.read(1, 1000)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
    await first.durable;
    expect(await readValues(log)).toEqual(['a', 'b']);
    stop();
    await appendValues(log, ['c']).durable;
    expect(seen).toEqual([2]);
  });

  test('is durable and readable at once with fsync off', async () => {
    const log = await openLog({}, { fsync: false });
    let advances = 0;
    log.onAdvance(() => advances++);
    const { durable } = appendValues(log, ['a']);
    expect([log.highWatermark, advances]).toEqual([1, 1]);
    await durable;
    expect(await readValues(log)).toEqual(['a']);
  });

  test('refuses headers that do not cover the bytes', async () => {
    const log = await openLog();
    const bytes = batchOf(['a']);
    expect(() => log.append(bytes.subarray(0, 65), headersOf(bytes))).toThrowError(/headers of/);
    expect(() => log.append(new Uint8Array(0), [])).toThrowError(/headers of/);
    expect(log.endOffset).toBe(0);
  });

  test('survives a listener that throws', async () => {
    const log = await openLog();
    log.onAdvance(() => {
      throw new Error('a defect elsewhere');
    });
    await appendValues(log, ['a']).durable;
    await appendValues(log, ['b']).durable;
    expect(log.highWatermark).toBe(2);
  });
});

describe('read', () => {
  for (const cacheBytes of [0, 1_000_000]) {
    test(`returns whole batches from any offset, within the bytes asked for (cache of ${cacheBytes} bytes)`, async () => {
      const log = await openLog({ segmentBytes: 20_000 }, { cacheBytes });
      const values: string[] = [];
      for (let i = 0; i < 300; i++) {
        const some = Array.from({ length: 1 + (i % 4) }, (_, n) => `${i}.${n}${'x'.repeat((i * 31) % 400)}`);
        values.push(...some);
        appendValues(log, some);
      }
      await appendValues(log, ['last']).durable;
      values.push('last');
      for (let offset = 0; offset < values.length; offset += 7) {
        const { batches, sizeBytes, nextOffset } = await log.read(offset, 3000);
        const records = batches.flatMap(batch => readRecords(batch));
        expect(records[0]?.offset).toBeLessThanOrEqual(offset);
        expect(records.at(-1)?.offset).toBe(nextOffset - 1);
        expect(nextOffset).toBeGreaterThan(offset);
        expect(sizeBytes).toBeLessThanOrEqual(3000);
      }
      expect(await readValues(log, 0, 5000)).toEqual(values);
      expect(await readValues(log, 123, 1)).toEqual(values.slice(123));
    });
  }

  test('returns a batch that is bigger than what was asked for, and bigger than one read', async () => {
    const log = await openLog({ segmentBytes: 64 * 1024 * 1024 }, { cacheBytes: 0 });
    const big = 'x'.repeat(6 * 1024 * 1024);
    for (const value of ['small', big, 'after']) await appendValues(log, [value]).durable;
    const { batches, nextOffset } = await log.read(1, 1000);
    expect(batches).toHaveLength(1);
    expect(nextOffset).toBe(2);
    expect(readRecords(batches[0] as Uint8Array)[0]?.value?.length).toBe(big.length);
    expect((await readValues(log)).map(value => value.length)).toEqual([5, big.length, 5]);
  });

  test('uses the memory of a read again once it is released, and not before', async () => {
    const log = await openLog({}, { cacheBytes: 0 });
    for (const value of ['a', 'b', 'c']) await appendValues(log, [value.repeat(1000)]).durable;
    const kept = await log.read(0, 100);
    const released = await log.read(1, 100);
    const memory = released.batches[0]?.buffer;
    released.release?.();
    const next = await log.read(2, 100);
    expect(next.batches[0]?.buffer).toBe(memory);
    const valueOf = (batch: Uint8Array | undefined): string => String(readRecords(batch ?? Buffer.alloc(0))[0]?.value);
    expect([valueOf(kept.batches[0])[0], valueOf(next.batches[0])[0]]).toEqual(['a', 'c']);
  });

  test('is empty at the high watermark and out of range on both sides', async () => {
    const log = await openLog();
    await appendValues(log, ['a', 'b']).durable;
    expect(await log.read(2, 1000)).toEqual({ batches: [], sizeBytes: 0, nextOffset: 2 });
    await expect(log.read(3, 1000)).rejects.toMatchObject({ kind: 'invalid', code: 'OFFSET_OUT_OF_RANGE' });
    await log.deleteBefore(1);
    await expect(log.read(0, 1000)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
    expect(await readValues(log)).toEqual(['b']);
  });
});

describe('offsetForTimestamp', () => {
  for (const codec of ['none', 'lz4'] as const) {
    test(`finds the first record at or after a timestamp, also within a batch (${codec})`, async () => {
      const log = await openLog({ segmentBytes: 30_000 }, { cacheBytes: 0 });
      const timestamps: number[] = [];
      for (let i = 0; i < 200; i++) {
        // Rising, but not evenly: every seventh batch comes late.
        const records = [0, 1, 2].map(n => {
          const timestamp = 1_000_000 + i * 100 + n * 30 - (i % 7 === 0 ? 450 : 0);
          timestamps.push(timestamp);
          return { timestamp, key: null, value: Buffer.alloc(200, i) };
        });
        const bytes = encodeBatch(records, { codec });
        log.append(bytes, headersOf(bytes));
      }
      await appendValues(log, ['last'], { timestamp: 2_000_000 }).durable;
      timestamps.push(2_000_000);
      for (let wanted = 999_000; wanted < 1_021_000; wanted += 333) {
        const offset = timestamps.findIndex(timestamp => timestamp >= wanted);
        expect(await log.offsetForTimestamp(wanted)).toEqual({ offset, timestamp: timestamps[offset] });
      }
      expect(await log.offsetForTimestamp(2_000_001)).toBeNull();
    });
  }

  test('looks neither below the start nor above the high watermark', async () => {
    const log = await openLog();
    await appendValues(log, ['a'], { timestamp: 500 }).durable;
    await appendValues(log, ['b'], { timestamp: 400 }).durable;
    await log.deleteBefore(1);
    const { durable } = appendValues(log, ['c'], { timestamp: 900 });
    expect(await log.offsetForTimestamp(100)).toEqual({ offset: 1, timestamp: 400 });
    expect(await log.offsetForTimestamp(800)).toBeNull();
    await durable;
    expect(await log.offsetForTimestamp(800)).toEqual({ offset: 2, timestamp: 900 });
  });
});

describe('retention', () => {
  const hour = 3_600_000;

  async function filled(config: Partial<LogConfig>): Promise<{ log: PartitionLog; clock: ManualClock }> {
    const clock = new ManualClock();
    const log = await openLog({ segmentBytes: 4_000, ...config }, { clock });
    for (let i = 0; i < 20; i++) {
      await appendValues(log, [`${i}`.padEnd(1000)], { timestamp: clock.now() }).durable;
      clock.advance(hour);
    }
    return { log, clock };
  }

  test('removes segments whose newest record is too old, and only those', async () => {
    const { log, clock } = await filled({ retentionMs: 10 * hour });
    // Three records a segment; those of the hours 0 to 8 are older than ten hours.
    await log.enforceRetention(clock.now(), log.endOffset);
    expect(log.startOffset).toBe(9);
    expect((await readValues(log)).map(value => Number(value))).toEqual([9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    await log.enforceRetention(clock.now() + 100 * hour, log.endOffset);
    expect(log.startOffset).toBe(18);
  });

  test('removes whole segments while what remains is still as much as asked for', async () => {
    const { log, clock } = await filled({ retentionBytes: 8_000 });
    await log.enforceRetention(clock.now(), log.endOffset);
    expect(log.startOffset).toBe(12);
    expect(log.sizeBytes).toBeGreaterThanOrEqual(8_000);
  });

  test('keeps what lies above the floor', async () => {
    const { log, clock } = await filled({ retentionMs: 0, retentionBytes: 0 });
    await log.enforceRetention(clock.now(), 7);
    expect(log.startOffset).toBe(6);
  });

  test('takes new settings without a restart', async () => {
    const { log, clock } = await filled({});
    await log.enforceRetention(clock.now(), log.endOffset);
    expect(log.startOffset).toBe(0);
    log.configure({ ...CONFIG, segmentBytes: 4_000, retentionMs: 5 * hour });
    await log.enforceRetention(clock.now(), log.endOffset);
    expect(log.startOffset).toBe(15);
  });

  test('rolls a segment at its age, so that time can remove it', async () => {
    const { log, clock } = await filled({ segmentBytes: 1_000_000, segmentAgeMs: 24 * hour, retentionMs: 10 * hour });
    await log.enforceRetention(clock.now() + 3 * hour, log.endOffset);
    expect(log.startOffset).toBe(0);
    await log.enforceRetention(clock.now() + 50 * hour, log.endOffset);
    expect(log.startOffset).toBe(20);
    expect(await readValues(log)).toEqual([]);
    await appendValues(log, ['next']).durable;
    expect(await readValues(log)).toEqual(['next']);
  });

  test('does not bring back what was deleted after a restart', async () => {
    const { log } = await filled({});
    await log.deleteBefore(10);
    await stores.pop()?.close();
    const again = await openLog({ segmentBytes: 4_000 });
    expect(again.startOffset).toBe(10);
    expect((await readValues(again)).map(value => Number(value))[0]).toBe(10);
    await expect(again.deleteBefore(21)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
    await again.deleteBefore(20);
    expect(await readValues(again)).toEqual([]);
  });

  test('says where the log durably begins, not where it is about to', async () => {
    const { log } = await filled({});
    const far = log.deleteBefore(18);
    expect(log.startOffset).toBe(18);
    expect(await log.deleteBefore(0)).toBe(0);
    expect(await far).toBe(18);
  });

  test('does not disturb a reader of what is being removed', async () => {
    const { log } = await filled({});
    const reading = Promise.allSettled([log.read(0, 1000), log.read(4, 1000), log.offsetForTimestamp(0)]);
    const deleting = log.deleteBefore(18);
    for (const result of await reading) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
    }
    await deleting;
  });
});
