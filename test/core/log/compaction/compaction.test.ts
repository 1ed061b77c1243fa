import { describe, expect, test } from 'vitest';
import { type BatchHeader, CODECS, readBatchHeader } from '../../../../core/log/batch.ts';
import { encodeMarker } from '../../../../core/log/marker.ts';
import { verifyDirectory } from '../../../../core/log/verify/verify-directory.ts';
import { walkBatches } from '../../../../core/log/verify/walk.ts';
import { LOG, LogOfKeys, ROOT } from './log-of-keys.ts';

const HOUR = 3_600_000;

describe('compaction', () => {
  test('keeps the newest record of each key at its offset, and never touches the active segment', async () => {
    const log = await new LogOfKeys().open();
    for (let i = 0; i < 30; i++) await log.append([[`k${i % 3}`, `v${i}`]]).durable;
    await log.roll();
    const active = log.log.endOffset;
    await log.append([
      ['k0', 'newer'],
      ['k0', 'newest'],
    ]).durable;
    const result = await log.compact();
    expect(result?.bytesAfter).toBeLessThan(result?.bytesBefore ?? 0);
    const left = [
      [27, 'k0', 'v27'],
      [28, 'k1', 'v28'],
      [29, 'k2', 'v29'],
      [active, 'k0', 'newer'],
      [active + 1, 'k0', 'newest'],
    ];
    expect(await log.pairs()).toEqual(left);
    await log.reopen();
    expect(await log.pairs()).toEqual(left);
    await log.reopen('kill');
    expect(await log.pairs()).toEqual(left);
    expect(await verifyDirectory({ disk: log.disk, directory: ROOT })).toEqual([]);
  });

  test('merges small segments, and reads at an offset that is gone go on behind it', async () => {
    const log = await new LogOfKeys().open();
    for (let i = 0; i < 200; i++) await log.append([['same', `v${i}`]]).durable;
    await log.roll();
    const names = async (): Promise<string[]> => (await log.disk.list(LOG)).filter(name => name.endsWith('.log'));
    const before = (await names()).length;
    await log.compact();
    // A segment may only take in what was small already: its neighbours come with the next run.
    await log.roll();
    await log.compact();
    expect((await names()).length).toBeLessThan(before / 2);
    expect(await log.pairs()).toEqual([[199, 'same', 'v199']]);
    for (const offset of [0, 1, 57, 198]) {
      const { batches, nextOffset } = await log.log.read(offset, 100);
      expect(batches.length).toBeGreaterThan(0);
      expect(nextOffset).toBeGreaterThan(offset);
    }
    expect(await log.log.offsetForTimestamp(0)).toMatchObject({ offset: 199 });
  });

  test.each(CODECS)('rewrites batches of codec %s in that codec', async codec => {
    const log = await new LogOfKeys().open();
    await log.append(
      [
        ['a', '1'],
        ['b', '2'],
        ['c', '3'],
      ],
      { codec },
    ).durable;
    await log.append(
      [
        ['a', '4'],
        ['c', '5'],
      ],
      { codec },
    ).durable;
    await log.roll();
    await log.compact();
    expect(await log.pairs()).toEqual([
      [1, 'b', '2'],
      [3, 'a', '4'],
      [4, 'c', '5'],
    ]);
    const [first] = await log.batches();
    const header = readBatchHeader(first as Uint8Array);
    expect(header).toMatchObject({
      baseOffset: 0,
      lastOffsetDelta: 2,
      recordCount: 1,
      attributes: CODECS.indexOf(codec),
    });
  });

  test('keeps a tombstone for its time after the first compaction that sees it, then lets it go', async () => {
    const log = await new LogOfKeys().open();
    await log.append([
      ['a', '1'],
      ['b', '2'],
    ]).durable;
    await log.append([['a', null]]).durable;
    await log.roll();
    await log.compact({ deleteRetentionMs: HOUR });
    expect(await log.pairs()).toEqual([
      [1, 'b', '2'],
      [2, 'a', null],
    ]);
    const timestamps = (await log.records()).map(record => record.timestamp);
    expect(timestamps).toEqual([log.clock.now(), log.clock.now()]);
    log.clock.advance(HOUR - 1);
    await log.roll();
    await log.compact({ deleteRetentionMs: HOUR });
    expect(await log.pairs()).toEqual([
      [1, 'b', '2'],
      [2, 'a', null],
    ]);
    log.clock.advance(2);
    await log.roll();
    await log.compact({ deleteRetentionMs: HOUR });
    expect(await log.pairs()).toEqual([[1, 'b', '2']]);
  });

  test('waits for the dirty ratio, for the lag, and goes ahead once a record is overdue', async () => {
    const log = await new LogOfKeys().open();
    for (let i = 0; i < 40; i++) await log.append([[`k${i}`, 'v'.repeat(100)]]).durable;
    await log.roll();
    expect(await log.compact({ minCompactionLagMs: HOUR })).toBeNull();
    expect(await log.compact()).not.toBeNull();
    expect(await log.compact()).toBeNull();
    await log.append([['k1', 'again']]).durable;
    await log.roll();
    expect(await log.compact({ minCleanableDirtyRatio: 0.9 })).toBeNull();
    log.clock.advance(HOUR);
    expect(await log.compact({ minCleanableDirtyRatio: 0.9, maxCompactionLagMs: HOUR / 2 })).not.toBeNull();
  });

  test('takes several passes when the keys do not fit, with the same outcome', async () => {
    const [small, big] = await Promise.all([
      new LogOfKeys({ compactionBytes: 24_576 }, 20_000).open(),
      new LogOfKeys({}, 20_000).open(),
    ]);
    for (const log of [small, big]) {
      for (let i = 0; i < 400; i++) {
        await log.append(Array.from({ length: 5 }, (_, j) => [`k${(i * 5 + j) % 1500}`, `v${i}`] as const)).durable;
      }
      await log.roll();
      await log.compact();
    }
    const left = await big.pairs();
    expect(left).toHaveLength(1500);
    expect(await small.pairs()).toEqual(left);
  });

  test('leaves out what was aborted: neither it nor what it would have replaced is lost or comes back', async () => {
    const log = await new LogOfKeys().open();
    const transaction = { producerId: 9, producerEpoch: 0, attributes: 0x10 };
    const end = (kind: 'commit' | 'abort'): Uint8Array =>
      encodeMarker({ kind, coordinatorEpoch: 0, producerId: 9, producerEpoch: 0, timestamp: log.clock.now() });
    await log.append([['a', 'kept']]).durable;
    await log.append(
      [
        ['a', 'aborted'],
        ['b', 'aborted'],
      ],
      { ...transaction, baseSequence: 0 },
    ).durable;
    await log.appendBytes(end('abort')).durable;
    await log.append([['b', 'committed']], { ...transaction, baseSequence: 2 }).durable;
    await log.appendBytes(end('commit')).durable;
    await log.roll();
    await log.compact({ deleteRetentionMs: HOUR });
    const data = async (): Promise<unknown[]> =>
      (await log.pairs()).filter(([, , value]) => value === 'kept' || value === 'committed' || value === 'aborted');
    expect(await data()).toEqual([
      [0, 'a', 'kept'],
      [4, 'b', 'committed'],
    ]);
    await log.reopen();
    expect(await data()).toEqual([
      [0, 'a', 'kept'],
      [4, 'b', 'committed'],
    ]);
    expect(log.log.lastStableOffset).toBe(log.log.highWatermark);
    // An open transaction's records are not judged.
    const open = log.log.endOffset;
    await log.append([['a', 'undecided']], { ...transaction, baseSequence: 3 }).durable;
    await log.roll();
    await log.append([['a', 'last']]).durable;
    await log.roll();
    await log.compact();
    expect(await log.pairs()).toContainEqual([0, 'a', 'kept']);
    expect(await log.pairs()).toContainEqual([open, 'a', 'undecided']);
  });

  test('forgets aborted transactions of which nothing is left, and then removes their markers', async () => {
    const log = await new LogOfKeys().open();
    const transaction = { producerId: 9, producerEpoch: 0, attributes: 0x10 };
    const marker = { kind: 'abort', coordinatorEpoch: 0, producerId: 9, producerEpoch: 0 } as const;
    const abort = async (key: string): Promise<void> => {
      await log.append([[key, 'aborted']], { ...transaction, baseSequence: baseSequence++ }).durable;
      await log.appendBytes(encodeMarker({ ...marker, timestamp: log.clock.now() })).durable;
    };
    let baseSequence = 0;
    const known = (): number[] => log.log.abortedWithin(0, log.log.endOffset).map(({ firstOffset }) => firstOffset);
    const markers = async (): Promise<number[]> =>
      (await log.batches())
        .map(bytes => readBatchHeader(bytes))
        .filter(header => (header.attributes & 0x20) !== 0 && header.recordCount > 0)
        .map(header => header.baseOffset);
    const again = async (): Promise<void> => {
      await log.roll();
      await log.compact({ deleteRetentionMs: HOUR });
    };
    await abort('a');
    await log.roll();
    const second = log.log.endOffset;
    await abort('b');
    await again();
    // Whoever has read the records before they went needs to be told.
    expect(known()).toEqual([0, second]);
    log.clock.advance(HOUR - 1);
    await again();
    expect(known()).toEqual([0, second]);
    expect(await markers()).toEqual([1, second + 1]);
    log.clock.advance(1);
    await again();
    expect(known()).toEqual([]);
    expect(await markers()).toEqual([1, second + 1]);
    log.clock.advance(HOUR);
    await again();
    // The header of the producer's last batch stays, and with it the marker behind it.
    expect(await markers()).toEqual([second + 1]);
    expect((await log.pairs()).filter(([, , value]) => value === 'aborted')).toEqual([]);
    // What is aborted from now on is known, also after a restart.
    const third = log.log.endOffset;
    await abort('c');
    expect(known()).toEqual([third]);
    await log.reopen();
    expect(known()).toEqual([third]);
  });

  test('removes the marker of a committed transaction once its records are gone and its time is over', async () => {
    const log = await new LogOfKeys().open();
    const transaction = { producerId: 9, producerEpoch: 0, attributes: 0x10, baseSequence: 0 };
    await log.append([['a', 'old']], transaction).durable;
    const marker = { kind: 'commit', coordinatorEpoch: 0, producerId: 9, producerEpoch: 0 } as const;
    await log.appendBytes(encodeMarker({ ...marker, timestamp: log.clock.now() })).durable;
    await log.append([['a', 'new']], { ...transaction, baseSequence: 1 }).durable;
    await log.appendBytes(encodeMarker({ ...marker, timestamp: log.clock.now() })).durable;
    const markers = async (): Promise<number[]> =>
      (await log.batches())
        .map(batch => readBatchHeader(batch))
        .filter(h => (h.attributes & 0x20) !== 0)
        .map(h => h.baseOffset);
    for (let i = 0; i < 2; i++) {
      await log.roll();
      await log.compact({ deleteRetentionMs: HOUR });
      expect(await markers()).toEqual([1, 3]);
    }
    log.clock.advance(HOUR);
    await log.roll();
    await log.compact({ deleteRetentionMs: HOUR });
    expect(await markers()).toEqual([3]);
    expect(await log.pairs()).toContainEqual([2, 'a', 'new']);
  });

  test("keeps the header of a producer's last batch, so that a retry is known after the snapshots are lost", async () => {
    const log = await new LogOfKeys().open();
    await log.append(
      [
        ['a', '1'],
        ['b', '1'],
      ],
      { producerId: 5, producerEpoch: 0, baseSequence: 0 },
    ).durable;
    await log.append(
      [
        ['a', '2'],
        ['b', '2'],
      ],
      { producerId: 5, producerEpoch: 0, baseSequence: 2 },
    ).durable;
    await log.append([
      ['a', '3'],
      ['b', '3'],
    ]).durable;
    await log.roll();
    await log.compact();
    // Readers pass over it.
    expect((await log.batches()).some(batch => readBatchHeader(batch).producerId === 5)).toBe(false);
    const headers: BatchHeader[] = [];
    const file = await log.disk.open(`${LOG}/00000000000000000000.log`, 'read');
    await walkBatches(file, header => headers.push(header));
    expect(headers.filter(header => header.producerId === 5)).toMatchObject([
      { baseOffset: 2, lastOffsetDelta: 1, baseSequence: 2, recordCount: 0, sizeBytes: 61 },
    ]);
    await log.store.close();
    for (const name of await log.disk.list(LOG))
      if (name.endsWith('.snapshot')) await log.disk.remove(`${LOG}/${name}`);
    await log.open();
    expect(log.producers.get(5)?.batches).toMatchObject([{ firstSequence: 2, lastSequence: 3, lastOffset: 3 }]);
  });

  test('readers that are under way see neither a gap nor an error', async () => {
    const log = await new LogOfKeys({ cacheBytes: 0 }).open();
    for (let i = 0; i < 300; i++) await log.append([[`k${i % 7}`, `v${i}`]]).durable;
    await log.roll();
    const compactions = { done: false };
    const readers = Array.from({ length: 4 }, async () => {
      let rounds = 0;
      while (!compactions.done || rounds < 2) {
        rounds++;
        const newest = new Map((await log.pairs()).map(([, key, value]) => [key, value]));
        expect(new Set(newest.values())).toEqual(new Set(['v293', 'v294', 'v295', 'v296', 'v297', 'v298', 'v299']));
        expect(await log.log.offsetForTimestamp(0)).not.toBeNull();
      }
      return rounds;
    });
    for (let i = 0; i < 3; i++) {
      await log.compact();
      await log.roll();
    }
    compactions.done = true;
    for (const rounds of await Promise.all(readers)) expect(rounds).toBeGreaterThan(1);
  });

  test('a full disk stops it without a trace', async () => {
    const log = await new LogOfKeys().open();
    for (let i = 0; i < 100; i++) await log.append([[`k${i}`, 'v'.repeat(50)]]).durable;
    await log.append([['k0', 'new']]).durable;
    await log.roll();
    const before = await log.pairs();
    log.disk.leaveRoom(300);
    await expect(log.compact()).rejects.toMatchObject({ code: 'DISK_FULL' });
    log.disk.leaveRoom(Infinity);
    expect((await log.disk.list(LOG)).filter(name => /cleaned|swap/.test(name))).toEqual([]);
    expect(await log.pairs()).toEqual(before);
    await log.compact();
    expect(await log.pairs()).toEqual(before.slice(1));
  });
});
