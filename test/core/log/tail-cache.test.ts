import { expect, test } from 'vitest';
import { patchBatch } from '../../../core/log/batch.ts';
import { type CachedTail, TailCache } from '../../../core/log/tail-cache.ts';
import { batchOf } from './harness.ts';

/** `count` batches of two records each, from `offset` on, as one append. */
function add(cache: TailCache, tail: CachedTail, offset: number, count: number, copy = false): Uint8Array {
  const bytes = Buffer.concat(Array.from({ length: count }, () => batchOf(['a', 'b'])));
  const size = bytes.length / count;
  for (let i = 0; i < count; i++) patchBatch(bytes, i * size, offset + i * 2, 0);
  cache.add(tail, offset, offset + count * 2, bytes, copy);
  return bytes;
}

test('batches come back whole from the one that contains the offset, up to the limit', () => {
  const cache = new TailCache(100_000);
  const tail = cache.tail();
  const bytes = add(cache, tail, 10, 3);
  add(cache, tail, 16, 2);
  const size = bytes.length / 3;
  expect(tail.read(9, 20, 10_000)).toBeNull();
  expect(tail.read(11, 20, 10_000)?.length).toBe(5);
  expect(tail.read(12, 20, 10_000)?.map(batch => Buffer.from(batch).readBigInt64BE())).toEqual([12n, 14n, 16n, 18n]);
  expect(tail.read(12, 16, 10_000)?.length).toBe(2);
  expect(tail.read(12, 18, 10_000)?.length).toBe(3);
  expect(tail.read(12, 20, 2 * size)?.length).toBe(2);
  expect(tail.read(12, 20, 0)?.length).toBe(1);
});

test('the oldest append of any log goes first when the budget is used up', () => {
  const size = batchOf(['a', 'b']).length;
  const cache = new TailCache(size * 4);
  const [first, second] = [cache.tail(), cache.tail()];
  add(cache, first, 0, 1);
  add(cache, second, 0, 2);
  add(cache, first, 2, 1);
  expect(first.read(0, 4, 10_000)?.length).toBe(2);
  add(cache, second, 4, 1);
  expect(first.read(0, 4, 10_000)).toBeNull();
  expect(first.read(2, 4, 10_000)?.length).toBe(1);
  expect(second.read(0, 6, 10_000)?.length).toBe(3);
  expect(cache.sizeBytes).toBe(size * 4);
});

test('nothing keeps the bytes of what has gone', () => {
  const size = batchOf(['a', 'b']).length;
  const cache = new TailCache(size * 4);
  const tail = cache.tail();
  for (let i = 0; i < 60; i++) add(cache, tail, i * 2, 1);
  expect(tail.entries.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBe(size * 4);
});

test('an append bigger than the budget leaves nothing older behind that would look gapless', () => {
  const size = batchOf(['a', 'b']).length;
  const cache = new TailCache(size * 2);
  const tail = cache.tail();
  add(cache, tail, 0, 1);
  add(cache, tail, 2, 3);
  add(cache, tail, 8, 1);
  expect(tail.read(0, 10, 10_000)).toBeNull();
  expect(tail.read(2, 10, 10_000)).toBeNull();
  expect(tail.read(8, 10, 10_000)?.length).toBe(1);
});

test('a copy does not keep the bytes that it was made from', () => {
  const cache = new TailCache(100_000);
  const tail = cache.tail();
  const bytes = add(cache, tail, 0, 1, true);
  bytes.fill(0);
  const [batch] = tail.read(0, 2, 1000) ?? [];
  expect(batch?.buffer).not.toBe(bytes.buffer);
  expect(batch?.[16]).toBe(2);
});

test('a log that is dropped makes room, and its queued entries do no harm', () => {
  const size = batchOf(['a', 'b']).length;
  const cache = new TailCache(size * 3);
  const [first, second] = [cache.tail(), cache.tail()];
  add(cache, first, 0, 2);
  cache.drop(first);
  expect(cache.sizeBytes).toBe(0);
  for (let i = 0; i < 5000; i++) add(cache, second, i * 2, 1);
  expect(cache.sizeBytes).toBe(size * 3);
  expect(second.read(9994, 10_000, 10_000)?.length).toBe(3);
  expect(second.read(9992, 10_000, 10_000)).toBeNull();
});
