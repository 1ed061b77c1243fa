import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readBatchHeader } from '../../../core/log/batch.ts';
import type { PartitionLog } from '../../../core/log/log.ts';
import { readMarker } from '../../../core/log/marker.ts';
import { type OpenOptions, TestBroker } from './harness.ts';
import { TransactionalClient } from './transactions/client.ts';

const OFFSETS = '__consumer_offsets';
const SEGMENT_BYTES = 10_000;
/** Housekeeping runs when a test says so. */
const config = { internalSegmentBytes: SEGMENT_BYTES, housekeepingIntervalMs: 1e9 };

let test: TestBroker;
beforeEach(async () => {
  test = await TestBroker.open({ config });
  await test.broker.topics.create({ name: 'orders', partitions: 3 });
});
afterEach(() => test.close());

async function restart(options: OpenOptions = {}): Promise<void> {
  const { directory } = test;
  await test.broker.close();
  await test.store.close();
  test = await TestBroker.open({ directory, config, ...options });
}

const position = (group: string, partition = 0): number | undefined =>
  test.broker.committedOffset(group, 'orders', partition)?.offset;

const commit = (group: string, offset: number, partition = 0): Promise<void> =>
  test.broker.commitOffset(group, 'orders', partition, { offset, metadata: 'x'.repeat(50) });

const bytesOf = (topic: string): number => {
  const folder = join(test.directory, 'log', `${topic}-0`);
  const logs = readdirSync(folder).filter(name => name.endsWith('.log'));
  return logs.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
};

/** Fills segments until everything so far lies in closed ones, and compacts them. */
async function compactAll(): Promise<void> {
  await Promise.all(Array.from({ length: 80 }, (_, i) => commit('filler', i)));
  await test.broker.housekeeping.compact();
  // The one that was just rolled may not have been sealed yet.
  await Promise.all(Array.from({ length: 80 }, (_, i) => commit('filler', i)));
  await test.broker.housekeeping.compact();
}

/** Ends of transactions that the journal still holds. */
async function markers(): Promise<number> {
  const log = test.broker.log(OFFSETS, 0) as PartitionLog;
  let found = 0;
  for (let offset = log.startOffset; offset < log.highWatermark; ) {
    const { batches, nextOffset } = await log.read(offset, 1_000_000);
    found += batches.filter(batch => readMarker(batch, 0, readBatchHeader(batch))).length;
    offset = nextOffset;
  }
  return found;
}

async function begin(group: string, offset: number): Promise<TransactionalClient> {
  const producer = new TransactionalClient(test, `copier-${group}`);
  await producer.init();
  await producer.addOffsets(group);
  expect(await producer.commitOffset(group, 'orders', 0, offset)).toBe(0);
  return producer;
}

describe('the journal of positions', () => {
  it('stays short under positions that move all the time, and says the same after a restart', async () => {
    for (let round = 0; round < 1_500; round += 10) {
      await Promise.all(Array.from({ length: 10 }, (_, i) => commit(`g${(round + i) % 7}`, round, (round + i) % 3)));
    }
    const log = test.broker.log(OFFSETS, 0);
    expect(log?.endOffset).toBeGreaterThanOrEqual(1_500);
    // By itself, in the background.
    for (let turns = 0; turns < 400 && bytesOf(OFFSETS) > 4 * SEGMENT_BYTES; turns++) {
      await commit('g0', 1_500 + turns);
      await new Promise(resolve => setTimeout(resolve, 5));
    }
    expect(bytesOf(OFFSETS)).toBeLessThanOrEqual(4 * SEGMENT_BYTES);
    const all = (): (number | undefined)[] => Array.from({ length: 21 }, (_, i) => position(`g${i % 7}`, i % 3));
    const before = all();
    expect(before.filter(offset => offset !== undefined)).toHaveLength(21);
    await restart();
    expect(all()).toEqual(before);
  });

  it('stays short under transactions: their markers go with the positions that they decided', async () => {
    await test.broker.topics.configure(OFFSETS, { 'delete.retention.ms': '0' });
    const owner = await test.broker.ownTransactions('millstream.copy');
    for (let i = 0; i < 300; i++) {
      const positions = [{ topic: 'orders', partition: 0, offset: i, metadata: null }];
      await owner.commit({ appends: [], offsets: { group: 'copy', positions } });
    }
    // One pass removes positions, the next their markers' reason to stay, the third the markers.
    for (let pass = 0; pass < 10 && (await markers()) > 1; pass++) await compactAll();
    // That of the newest position.
    expect(await markers()).toBe(1);
    expect(bytesOf('__transaction_state')).toBeLessThan(8 * SEGMENT_BYTES);
    await restart();
    expect(position('copy')).toBe(299);
    expect(test.broker.transactions.get('millstream.copy')?.state).toBe('CompleteCommit');
  });

  it('keeps what an open transaction holds, whatever is compacted meanwhile', async () => {
    await commit('readers', 3);
    const producer = await begin('readers', 77);
    await compactAll();
    await restart();
    expect(position('readers')).toBe(3);
    const after = new TransactionalClient(test, producer.id);
    after.take(producer.producerId, producer.producerEpoch);
    expect(await after.end(true)).toBe(0);
    expect(position('readers')).toBe(77);
    await compactAll();
    await restart();
    expect(position('readers')).toBe(77);
  });

  it('takes the newest record of a position, live, after a restart and after compaction alike', async () => {
    const producer = await begin('readers', 5);
    await commit('readers', 9);
    expect(await producer.end(true)).toBe(0);
    expect(position('readers')).toBe(9);
    await restart();
    expect(position('readers')).toBe(9);
    await compactAll();
    await restart();
    expect(position('readers')).toBe(9);
  });

  it('forgets what was removed, also when its tombstone is compacted away', async () => {
    await commit('gone', 5);
    await commit('stays', 6);
    expect(await test.broker.groups.delete('gone')).toBe(0);
    await compactAll();
    await compactAll();
    await restart();
    expect([position('gone'), position('stays')]).toEqual([undefined, 6]);
    expect(test.broker.groups.get('gone')).toBeUndefined();
  });
});

describe('a directory whose internal topics were written as snapshots', () => {
  /** Positions were repeated behind what an open transaction held, and counted from its marker on. */
  async function writeAsBefore(endsBefore: boolean): Promise<TransactionalClient> {
    const producer = await begin('readers', 7);
    await commit('readers', 3);
    if (endsBefore) expect(await producer.end(true)).toBe(0);
    await test.broker.topics.configure(OFFSETS, { 'delete.retention.ms': null });
    return producer;
  }

  it('says what it said, and goes on saying it once it is compacted', async () => {
    await writeAsBefore(true);
    await restart();
    expect(position('readers')).toBe(7);
    expect(test.broker.topics.get(OFFSETS)?.configs['delete.retention.ms']).toBe('60000');
    await restart();
    expect(position('readers')).toBe(7);
    await compactAll();
    await restart();
    expect(position('readers')).toBe(7);
  });

  it('keeps its open transactions', async () => {
    const producer = await writeAsBefore(false);
    await restart();
    expect(position('readers')).toBe(3);
    await restart();
    const after = new TransactionalClient(test, producer.id);
    after.take(producer.producerId, producer.producerEpoch);
    expect(await after.end(true)).toBe(0);
    expect(position('readers')).toBe(7);
    await restart();
    expect(position('readers')).toBe(7);
  });
});
