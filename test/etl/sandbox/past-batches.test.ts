import { expect, test } from 'vitest';
import { encodeBatch } from '../../../core/engine/records.ts';
import { PastBatches, pastOf } from '../../../etl/sandbox/past-batches.ts';
import { batchOf, record, TIME } from './harness.ts';

const ALL = { last: 100, ageMs: null };
const offsets = (past: PastBatches, offset: number, lookBack = ALL): number[] =>
  past.before(offset, TIME, lookBack).map(each => each.offset);

test('as many batches are kept as hold so many records, and what comes before a record is found in them', () => {
  const past = new PastBatches(4);
  for (let base = 0; base < 12; base += 3) past.add(batchOf(['a', 'b', 'c'], { baseOffset: base, codec: 'gzip' }));
  // The newest ones do not push out what their first record is to be shown.
  expect(offsets(past, 100)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11]);
  expect(offsets(past, 9)).toEqual([3, 4, 5, 6, 7, 8]);
  expect(offsets(past, 10, { last: 2, ageMs: null })).toEqual([8, 9]);
  expect(past.before(8, TIME, { last: 2, ageMs: null }).map(({ body }) => Buffer.from(body).toString('hex'))).toEqual([
    '01026100',
    '01026200',
  ]);
  const copy = new PastBatches(4);
  copy.add(past.bytes());
  expect(offsets(copy, 100)).toEqual(offsets(past, 100));
});

test('a step back puts the batches in their own place', () => {
  const past = new PastBatches(100);
  for (const base of [0, 3, 6]) past.add(batchOf(['a', 'b', 'c'], { baseOffset: base }));
  past.add(batchOf(['x', 'y', 'z'], { baseOffset: 3 }));
  expect(offsets(past, 100)).toEqual([0, 1, 2, 3, 4, 5]);
});

test('an age leaves out what is older than that before the record at hand', () => {
  const past = new PastBatches(100);
  past.add(encodeBatch([100, 5, 50, 90].map(time => record('x', { timestamp: time }))));
  const at = (ageMs: number) => past.before(9, 100, { last: null, ageMs }).map(each => each.timestamp);
  expect(at(50)).toEqual([100, 50, 90]);
  expect(at(49)).toEqual([100, 90]);
});

test('what is changed afterwards in the buffer that was added does not show', () => {
  const past = new PastBatches(10);
  const bytes = Uint8Array.from(batchOf(['a']));
  past.add(bytes);
  bytes.fill(0);
  expect(offsets(past, 9)).toEqual([0]);
});

test('room is made for the step that looks back furthest, and none when no step does', () => {
  expect(pastOf([null, undefined])).toBeNull();
  const past = pastOf([null, { last: 1, ageMs: null }, { last: 3, ageMs: 5 }]);
  for (let base = 0; base < 9; base++) past?.add(batchOf(['a'], { baseOffset: base }));
  expect(past && offsets(past, 100)).toEqual([5, 6, 7, 8]);
});
