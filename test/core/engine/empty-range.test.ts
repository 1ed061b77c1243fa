import { expect, test } from 'vitest';
import { EmptyRange } from '../../../core/engine/empty-range.ts';

test('a reader that waits behind markers lags by nothing, whichever read has seen them', () => {
  const empty = new EmptyRange();
  expect(empty.behind(5)).toBe(5);
  empty.add(10, 12);
  expect([9, 10, 11, 12].map(offset => empty.behind(offset))).toEqual([9, 12, 12, 12]);
  // Two reads wait at 12: both see what comes, one behind the other.
  empty.add(12, 14);
  empty.add(12, 14);
  expect([10, 12, 14].map(offset => empty.behind(offset))).toEqual([14, 14, 14]);
  // Records were in between.
  empty.add(20, 22);
  expect([10, 14, 20].map(offset => empty.behind(offset))).toEqual([10, 14, 22]);
});
