import { afterEach, beforeEach, expect, test } from 'vitest';
import { encodeBatch } from '../../../core/log/record.ts';
import { ErrorCode } from '../../../core/protocol/error-codes.ts';
import { batchOf, TestBroker, valuesOf } from './harness.ts';

let served: TestBroker;
beforeEach(async () => {
  served = await TestBroker.open();
});
afterEach(() => served.close());

const keyed = (key: string, value: string): Uint8Array =>
  encodeBatch([{ timestamp: 1_700_000_000_000, key: Buffer.from(key), value: Buffer.from(value) }], { codec: 'gzip' });

async function createTopic(configs: Record<string, string>): Promise<void> {
  await served.broker.ensureTopic({ name: 'tables', partitions: 1, configs });
}

test('a compacted topic refuses records without a key, whatever their codec', async () => {
  await createTopic({ 'cleanup.policy': 'compact' });
  for (const codec of ['none', 'zstd'] as const) {
    const answer = await served.produce('tables', 0, batchOf(['no key'], { codec }));
    expect(answer.errorCode).toBe(ErrorCode.INVALID_RECORD);
  }
  expect((await served.produce('tables', 0, keyed('a', '1'))).errorCode).toBe(ErrorCode.NONE);
  expect((await served.fetch('tables', 0, 0)).highWatermark).toBe(1);
});

test('housekeeping compacts a topic whose policy says so, and fetches go over the gaps', async () => {
  await createTopic({
    'cleanup.policy': 'compact,delete',
    'retention.ms': '-1',
    'segment.bytes': '500',
    'min.cleanable.dirty.ratio': '0',
  });
  for (let i = 0; i < 60; i++) await served.produce('tables', 0, keyed(`k${i % 2}`, `v${i}`));
  const fetchAll = async (): Promise<[offset: number, value: string][]> => {
    const found: [offset: number, value: string][] = [];
    while (found.at(-1)?.[0] !== 59) {
      const { records } = await served.fetch('tables', 0, (found.at(-1)?.[0] ?? -1) + 1);
      const values = valuesOf(records);
      expect(values.length).toBeGreaterThan(0);
      found.push(...values);
    }
    return found;
  };
  await served.broker.housekeeping.run();
  let left = await fetchAll();
  // Rolled segments are sealed in the background: until then there may be little to do.
  for (let round = 0; round < 100 && left.length >= 20; round++) {
    await served.broker.housekeeping.compact();
    await new Promise(resolve => setTimeout(resolve, 5));
    left = await fetchAll();
  }
  expect(left.length).toBeLessThan(20);
  expect(left.slice(-2)).toEqual([
    [58, 'v58'],
    [59, 'v59'],
  ]);
});

test('a topic that is not compacted keeps all its records, with or without keys', async () => {
  await createTopic({ 'segment.bytes': '500' });
  for (let i = 0; i < 30; i++)
    await served.produce('tables', 0, i % 2 === 0 ? keyed('k', `v${i}`) : batchOf([`v${i}`]));
  await served.broker.housekeeping.compact();
  const seen: number[] = [];
  while (seen.length < 30) {
    const { records } = await served.fetch('tables', 0, seen.length);
    seen.push(...valuesOf(records).map(([offset]) => offset));
  }
  expect(seen).toEqual(Array.from({ length: 30 }, (_, i) => i));
});
