import { expect, test } from 'vitest';
import { assignRanges } from '../../../core/client/range-assignor.ts';

const member = (memberId: string, topics: string[], instanceId: string | null = null) => ({
  memberId,
  topics,
  instanceId,
});

test('the first members get one partition more when they do not go up', () => {
  const shares = assignRanges([member('b', ['t']), member('a', ['t']), member('c', ['t'])], new Map([['t', 7]]));
  expect(Object.fromEntries(shares)).toEqual({
    a: [{ topic: 't', partitions: [0, 1, 2] }],
    b: [{ topic: 't', partitions: [3, 4] }],
    c: [{ topic: 't', partitions: [5, 6] }],
  });
});

test('every topic is shared among its own subscribers', () => {
  const members = [member('a', ['x', 'y']), member('b', ['y'])];
  const shares = assignRanges(
    members,
    new Map([
      ['y', 2],
      ['x', 2],
    ]),
  );
  expect(Object.fromEntries(shares)).toEqual({
    a: [
      { topic: 'x', partitions: [0, 1] },
      { topic: 'y', partitions: [0] },
    ],
    b: [{ topic: 'y', partitions: [1] }],
  });
});

test('a member for whom nothing is left stands in the result with nothing', () => {
  const shares = assignRanges([member('a', ['t']), member('b', ['t'])], new Map([['t', 1]]));
  expect(shares.get('b')).toEqual([]);
});

test('static members are in the order of their instance ids, so that a restart changes nothing', () => {
  const before = assignRanges([member('m1', ['t'], 'two'), member('m2', ['t'], 'one')], new Map([['t', 2]]));
  const after = assignRanges([member('m0', ['t'], 'two'), member('m2', ['t'], 'one')], new Map([['t', 2]]));
  expect(before.get('m1')).toEqual(after.get('m0'));
});
