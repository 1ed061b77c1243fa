import { afterEach, beforeEach, expect, it } from 'vitest';
import { lineageHeader } from '../../../core/engine/lineage.ts';
import type { PartitionLog } from '../../../core/log/log.ts';
import { findEntry, writerOf } from '../../../server/lineage/find.ts';
import { batchOf, TestBroker } from '../../core/broker/harness.ts';

const GROUP = 'millstream.copy';
const topicId = 'a'.repeat(32);
let test: TestBroker;
let log: PartitionLog;

beforeEach(async () => {
  test = await TestBroker.open({ fsync: false });
  await test.broker.topics.create({ name: 'out', partitions: 1 });
  log = test.broker.log('out', 0) as PartitionLog;
});
afterEach(() => test.close());

/** Commits of ten source records each, of which every third leaves nothing; two sources take turns in one partition. */
async function fill(commits: number): Promise<void> {
  const owners = [await test.broker.ownTransactions('a'), await test.broker.ownTransactions('b')];
  const from = [0, 0];
  for (let i = 0; i < commits; i++) {
    for (const [partition, owner] of owners.entries()) {
      const next = 10 * (i + 1);
      if (i % 3 === 2) continue;
      const source = { group: GROUP, topic: 'in', topicId, partition };
      const lineage = { from: BigInt(from[partition] ?? 0) };
      await owner.commit({
        appends: [{ topic: 'out', partition: 0, batch: batchOf(['x', 'y']) }],
        notes: ranges =>
          ranges.map(range => {
            const header = lineageHeader(source, lineage, BigInt(next), [{ ...range, map: null }]);
            return { topic: 'out', partition: 0, header };
          }),
      });
      from[partition] = next;
    }
  }
}

it('finds the commit that accounts for a source offset among thousands, reading little', {
  timeout: 120_000,
}, async () => {
  await fill(1500);
  expect(log.endOffset).toBeGreaterThan(5000);
  for (const partition of [0, 1]) {
    for (const offset of [0, 9, 10, 25, 29, 30, 7777, 14_985, 14_989]) {
      const budget = { bytes: 1e9 };
      const found = await findEntry(log, { group: GROUP, topicId, partition }, offset, log.endOffset, budget);
      expect(found?.entry.partition).toBe(partition);
      expect(found?.entry.from).toBeLessThanOrEqual(offset);
      expect(found?.entry.next).toBeGreaterThan(offset);
    }
  }
  const none = await findEntry(log, { group: GROUP, topicId, partition: 0 }, 15_000, log.endOffset, { bytes: 1e9 });
  expect(none).toBeNull();
  const other = { group: 'millstream.other', topicId, partition: 0 };
  expect(await findEntry(log, other, 5, log.endOffset, { bytes: 1e9 })).toBeNull();
});

it('ends a search that reads too much', async () => {
  await fill(30);
  const search = findEntry(log, { group: 'nobody', topicId, partition: 0 }, 100, log.endOffset, { bytes: 10 });
  await expect(search).rejects.toMatchObject({ code: 'SCAN_TOO_LONG' });
});

it('tells who wrote a record', async () => {
  await fill(1);
  await test.broker.produce('out', 0, batchOf(['foreign'])).durable;
  expect(await writerOf(log, 1, { bytes: 1e9 })).toMatchObject({ by: 'commit', entry: { group: GROUP, partition: 0 } });
  expect(await writerOf(log, 6, { bytes: 1e9 })).toEqual({ by: 'producer', transaction: 'none' });
  expect(await writerOf(log, 2, { bytes: 1e9 })).toBeNull();
  expect(await writerOf(log, 99, { bytes: 1e9 })).toBeNull();
});
