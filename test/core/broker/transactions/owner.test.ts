import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Partition } from '../../../../core/broker/partition.ts';
import type { AppendedRange } from '../../../../core/broker/transactions/owner.ts';
import { ErrorCode } from '../../../../core/protocol/error-codes.ts';
import type { PartitionLog } from '../../../../core/log/log.ts';
import { type Header, readRecords } from '../../../../core/log/record.ts';
import { batchOf, TestBroker } from '../harness.ts';
import { readCommitted, TransactionalClient } from './client.ts';

const ID = 'millstream.copy.0-0';
let test: TestBroker;

beforeEach(async () => {
  test = await TestBroker.open();
  await test.broker.topics.create({ name: 'out', partitions: 2 });
  await test.broker.topics.create({ name: 'dead', partitions: 1 });
  await test.broker.topics.create({ name: 'in', partitions: 1 });
});
afterEach(() => test.close());

const append = (topic: string, partition: number, ...values: string[]) => ({
  topic,
  partition,
  batch: batchOf(values),
});
const offsets = (offset: number) => ({
  group: 'millstream.copy',
  positions: [{ topic: 'in', partition: 0, offset, metadata: `state ${offset}` }],
});
const values = async (topic: string, partition: number): Promise<string[]> =>
  (await readCommitted(test, topic, partition)).values;

/** Of all records of a partition 0, markers included, as `name=text`. */
async function headersIn(topic: string): Promise<string[]> {
  const log = test.broker.log(topic, 0) as PartitionLog;
  // Markers are appended at once, and not waited for.
  await vi.waitFor(() => expect(log.highWatermark).toBe(log.endOffset));
  const headers: Header[] = [];
  for (let at = 0; at < log.highWatermark; ) {
    const { batches, nextOffset } = await log.read(at, 1e6);
    headers.push(...batches.flatMap(batch => readRecords(batch).flatMap(({ headers: own }) => own)));
    at = nextOffset;
  }
  return headers.map(([name, value]) => `${name}=${Buffer.from(value ?? []).toString()}`);
}

/** What is committed in the turn of a failure fails with it. */
const nextTurn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

describe('the owner of a transactional id', () => {
  it('commits outputs, dead letters and position together, and says where they went', async () => {
    const owner = await test.broker.ownTransactions(ID);
    const { ranges } = await owner.commit({
      appends: [append('out', 0, 'a', 'b'), append('out', 1, 'c'), append('dead', 0, 'd')],
      offsets: offsets(4),
    });
    expect(ranges).toEqual([
      { topic: 'out', partition: 0, from: 0, to: 2 },
      { topic: 'out', partition: 1, from: 0, to: 1 },
      { topic: 'dead', partition: 0, from: 0, to: 1 },
    ]);
    expect(test.broker.committedOffset('millstream.copy', 'in', 0)).toMatchObject({ offset: 4, metadata: 'state 4' });
    expect(await values('out', 0)).toEqual(['a', 'b']);
    expect(await values('dead', 0)).toEqual(['d']);
  });

  it('shows neither outputs nor position before the commit point, and both from then on', async () => {
    const owner = await test.broker.ownTransactions(ID);
    const { log } = test.broker.topics.require('out').partitions[0] ?? {};
    let early = '';
    const position = () => test.broker.committedOffset('millstream.copy', 'in', 0)?.offset ?? -1;
    const stop = log?.onAdvance(() => {
      if (log.lastStableOffset > 0 !== position() > 0) early = `${log.lastStableOffset} and ${position()}`;
    });
    await owner.commit({ appends: [append('out', 0, 'a')], offsets: offsets(1) });
    expect([log?.lastStableOffset, position()]).toEqual([1, 1]);
    stop?.();
    expect(early).toBe('');
  });

  it('merges commits that come while one is under way, in their order', async () => {
    const owner = await test.broker.ownTransactions(ID);
    const before = test.broker.log('__transaction_state', 0)?.endOffset ?? 0;
    const all = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        // Some of them in turns of their own.
        for (let turn = 0; turn < i % 3; turn++) await new Promise(resolve => setImmediate(resolve));
        return owner.commit({ appends: [append('out', 0, `${i}`)], offsets: offsets(i + 1) });
      }),
    );
    expect(new Set(all.map(({ ranges }) => ranges[0]?.from)).size).toBe(50);
    expect((await values('out', 0)).toSorted((a, b) => Number(a) - Number(b))).toEqual(
      Array.from({ length: 50 }, (_, i) => `${i}`),
    );
    // Each transaction leaves PREPARE and COMPLETE.
    expect((test.broker.log('__transaction_state', 0)?.endOffset ?? 0) - before).toBeLessThan(20);
  });

  it('is fenced by the next owner, also one on the wire', async () => {
    const first = await test.broker.ownTransactions(ID);
    await first.commit({ appends: [append('out', 0, 'first')] });
    const second = await test.broker.ownTransactions(ID);
    const refused = { kind: 'conflict', code: 'FENCED' };
    await expect(first.commit({ appends: [append('out', 0, 'zombie')] })).rejects.toMatchObject(refused);
    await second.commit({ appends: [append('out', 0, 'second')] });
    expect(await new TransactionalClient(test, ID).init()).toBe(ErrorCode.NONE);
    await expect(second.commit({ appends: [] })).rejects.toMatchObject(refused);
    expect(second.isFenced).toBe(true);
    expect(await values('out', 0)).toEqual(['first', 'second']);
  });

  it('commits nothing when one of its outputs cannot be written, and goes on', async () => {
    const owner = await test.broker.ownTransactions(ID);
    const bad = {
      topic: 'out',
      partition: 1,
      batch: Buffer.from('no batch at all, but long enough to be read as one'),
    };
    const failing = owner.commit({ appends: [append('out', 0, 'lost'), bad], offsets: offsets(9) });
    await expect(failing).rejects.toMatchObject({ kind: 'data' });
    await nextTurn();
    await expect(owner.commit({ appends: [append('nowhere', 0, 'x')] })).rejects.toMatchObject({
      code: 'UNKNOWN_TOPIC_OR_PARTITION',
    });
    await nextTurn();
    await owner.commit({ appends: [append('out', 0, 'next')], offsets: offsets(1) });
    expect(await values('out', 0)).toEqual(['next']);
    expect(test.broker.committedOffset('millstream.copy', 'in', 0)?.offset).toBe(1);
  });

  it('keeps notes with the commit point, then in the marker of their partition', async () => {
    const owner = await test.broker.ownTransactions(ID);
    const notes = (ranges: readonly AppendedRange[]) =>
      ranges.map(({ topic, partition, from, to }) => {
        return { topic, partition, header: ['note', Buffer.from(`${topic} ${from} ${to}`)] as const };
      });
    await owner.commit({ appends: [append('out', 0, 'a', 'b'), append('dead', 0, 'd')], offsets: offsets(1), notes });
    expect(await headersIn('__transaction_state')).toEqual([
      expect.stringMatching(/^millstream.ends=/),
      'millstream.note/0/out/note=out 0 2',
      'millstream.note/0/dead/note=dead 0 1',
    ]);
    expect(await headersIn('out')).toEqual(['note=out 0 2']);
    expect(await headersIn('dead')).toEqual(['note=dead 0 1']);
    expect(await headersIn('__consumer_offsets')).toEqual([]);
  });

  it('writes the notes with a marker that recovery finds missing', async () => {
    const owner = await test.broker.ownTransactions(ID);
    const notes = () => [{ topic: 'out', partition: 0, header: ['note', Buffer.from('kept')] as const }];
    // Decided, and the marker is in the file of no log: what a crash right behind the commit point leaves.
    vi.spyOn(test.broker.topics.require('out').partitions[0] as Partition, 'appendMarker').mockImplementation(() => {
      throw new Error('cut');
    });
    await owner.commit({ appends: [append('out', 0, 'a')], offsets: offsets(1), notes });
    const { directory } = test;
    await test.broker.close();
    await test.store.close();
    test = await TestBroker.open({ directory });
    expect(await values('out', 0)).toEqual(['a']);
    expect(await headersIn('out')).toEqual(['note=kept']);
  });

  it('goes on with a new epoch after a restart', async () => {
    const owner = await test.broker.ownTransactions(ID);
    await owner.commit({ appends: [append('out', 0, 'a')], offsets: offsets(1) });
    const { directory } = test;
    await test.broker.close();
    await test.store.close();
    test = await TestBroker.open({ directory });
    const again = await test.broker.ownTransactions(ID);
    await again.commit({ appends: [append('out', 0, 'b')], offsets: offsets(2) });
    expect(await values('out', 0)).toEqual(['a', 'b']);
    expect(test.broker.committedOffset('millstream.copy', 'in', 0)).toMatchObject({ offset: 2, metadata: 'state 2' });
  });
});
