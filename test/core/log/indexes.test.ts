import { expect, test } from 'vitest';
import { OffsetIndex } from '../../../core/log/offset-index.ts';
import { TimeIndex } from '../../../core/log/time-index.ts';

test('an offset is looked for from the newest indexed batch at or before it', () => {
  const index = new OffsetIndex(100);
  for (let i = 1; i <= 200; i++) index.add(100 + i * 10, i * 5000);
  expect(index.positionOf(100)).toBe(0);
  expect(index.positionOf(109)).toBe(0);
  expect(index.positionOf(110)).toBe(5000);
  expect(index.positionOf(119)).toBe(5000);
  expect(index.positionOf(5000)).toBe(1_000_000);
  index.truncate(130);
  expect(index.last()).toEqual({ lastOffset: 120, position: 10_000 });
});

test('an offset index is the same after a round trip, and its entries lie as Kafka writes them', () => {
  const index = new OffsetIndex(100);
  index.add(110, 5000);
  index.add(125, 9999);
  const bytes = index.toBytes();
  expect(bytes.toString('hex')).toBe('0000000a00001388000000190000270f');
  expect(index.toBytes(1).toString('hex')).toBe('000000190000270f');
  const again = OffsetIndex.fromBytes(Buffer.concat([bytes, Buffer.alloc(64)]), 100, 20_000);
  expect(again?.length).toBe(2);
  expect(again?.positionOf(125)).toBe(9999);
});

test('an offset index that cannot be right is refused', () => {
  const index = new OffsetIndex(0);
  index.add(10, 5000);
  index.add(20, 9000);
  const bytes = index.toBytes();
  expect(OffsetIndex.fromBytes(bytes, 0, 9000)).toBeNull();
  const swapped = Buffer.concat([bytes.subarray(8), bytes.subarray(0, 8)]);
  expect(OffsetIndex.fromBytes(swapped, 0, 20_000)).toBeNull();
});

test('the search for a timestamp begins behind the batches that are all older', () => {
  const index = new TimeIndex(1000);
  index.add(50, 1009);
  index.add(70, 1019);
  index.add(70, 1029);
  index.add(90, 1039);
  expect(index.length).toBe(3);
  expect(index.offsetBefore(10)).toBe(1000);
  expect(index.offsetBefore(50)).toBe(1000);
  expect(index.offsetBefore(51)).toBe(1010);
  expect(index.offsetBefore(71)).toBe(1020);
  expect(index.offsetBefore(1000)).toBe(1040);
  expect(index.last()).toEqual({ timestamp: 90, offset: 1039 });
});

test('a time index is the same after a round trip, and one that cannot be right is refused', () => {
  const index = new TimeIndex(1000);
  index.add(1_700_000_000_000, 1009);
  index.add(1_700_000_000_500, 1019);
  const bytes = index.toBytes();
  expect(bytes.subarray(0, 12).toString('hex')).toBe('0000018bcfe5680000000009');
  expect(TimeIndex.fromBytes(bytes, 1000, 1020)?.last()).toEqual({ timestamp: 1_700_000_000_500, offset: 1019 });
  expect(TimeIndex.fromBytes(bytes, 1000, 1019)).toBeNull();
  expect(TimeIndex.fromBytes(Buffer.concat([bytes.subarray(12), bytes]), 1000, 2000)).toBeNull();
});
