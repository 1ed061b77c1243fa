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

test('the oldest slab of appends goes first when the budget is used up, whichever logs they are of', () => {
  const size = batchOf(['a', 'b']).length;
  const cache = new TailCache(size * 32, size * 8);
  const [first, second] = [cache.tail(), cache.tail()];
  for (let i = 0; i < 16; i++) for (const tail of [first, second]) add(cache, tail, i * 2, 1, true);
  expect(cache.sizeBytes).toBe(size * 32);
  for (const tail of [first, second]) expect(tail.read(0, 32, 100_000)?.length).toBe(16);
  add(cache, first, 32, 1, true);
  for (const tail of [first, second]) expect(tail.read(7, 34, 100_000)).toBeNull();
  expect(first.read(8, 34, 100_000)?.length).toBe(13);
  expect(second.read(8, 34, 100_000)?.length).toBe(12);
  expect(cache.sizeBytes).toBe(size * 32);
});

test('big appends among small ones: what goes leaves no gap, and not more goes than a few slabs', () => {
  const size = batchOf(['a', 'b']).length;
  const cache = new TailCache(size * 64, size * 8);
  const [tail, other] = [cache.tail(), cache.tail()];
  let end = 0;
  for (let i = 0; i < 500; i++) {
    const count = i % 5 === 0 ? 1 : 3;
    add(cache, tail, end, count, i % 2 === 0);
    add(cache, other, i * 2, 1, true);
    end += count * 2;
    expect(cache.sizeBytes).toBeLessThanOrEqual(size * 64);
    const from = [...Array(end / 2).keys()].find(n => tail.read(n * 2, end, 1e6) !== null) ?? Infinity;
    const found = tail.read(from * 2, end, 1e6) ?? [];
    expect(found.map(batch => Number(Buffer.from(batch).readBigInt64BE()))).toEqual(
      Array.from({ length: end / 2 - from }, (_, n) => (from + n) * 2),
    );
    if (end > 400) expect(found.length).toBeGreaterThan(24);
  }
});

test('nothing keeps the bytes of what has gone', () => {
  const size = batchOf(['a', 'b']).length;
  const cache = new TailCache(size * 16, size * 4);
  const tail = cache.tail();
  for (let i = 0; i < 60; i++) add(cache, tail, i * 2, 1, true);
  const buffers = new Set(tail.runs.map(({ slab }) => slab.bytes.buffer));
  expect([...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThanOrEqual(cache.sizeBytes);
  expect(cache.sizeBytes).toBeLessThanOrEqual(size * 16);
});

test('what compaction has rewritten is forgotten, also within a slab', () => {
  const cache = new TailCache(100_000);
  const [tail, other] = [cache.tail(), cache.tail()];
  for (let i = 0; i < 10; i++) for (const each of [tail, other]) add(cache, each, i * 2, 1, true);
  cache.dropBelow(tail, 7);
  expect(tail.read(5, 20, 10_000)).toBeNull();
  expect(tail.read(6, 20, 10_000)?.length).toBe(7);
  expect(other.read(0, 20, 10_000)?.length).toBe(10);
  cache.dropBelow(tail, 20);
  expect(tail.read(18, 20, 10_000)).toBeNull();
  add(cache, tail, 20, 1, true);
  expect(tail.read(20, 22, 10_000)?.length).toBe(1);
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

test('a log that is dropped makes room, and its queued slabs do no harm', () => {
  const size = batchOf(['a', 'b']).length;
  const cache = new TailCache(size * 32, size * 8);
  const [first, second] = [cache.tail(), cache.tail()];
  add(cache, first, 0, 2);
  cache.drop(first);
  expect(cache.sizeBytes).toBe(0);
  for (let i = 0; i < 5000; i++) add(cache, second, i * 2, 1, true);
  expect(cache.sizeBytes).toBe(size * 32);
  expect(second.read(9994, 10_000, 10_000)?.length).toBe(3);
  expect(second.read(9900, 10_000, 10_000)).toBeNull();
});
