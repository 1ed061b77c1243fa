import { expect, test } from 'vitest';
import { Bag } from '../../../core/base/bag.ts';

test('things stay in their order, and each goes by what was returned for it', () => {
  const bag = new Bag<string>();
  const [removeA, removeB] = ['a', 'b', 'c'].map(item => bag.add(item));
  removeB?.();
  removeB?.();
  expect(bag.all).toEqual(['a', 'c']);
  bag.add('d');
  removeA?.();
  expect([bag.size, bag.first(), bag.remove('a')]).toEqual([2, 'c', false]);
  expect(bag.findLast(item => item < 'e')).toBe('d');
});

test('who goes through it does not see what comes and goes meanwhile', () => {
  const bag = new Bag<number>();
  for (const n of [1, 2, 3]) bag.add(n);
  const seen = [];
  for (const n of bag.all) {
    seen.push(n);
    bag.remove(n);
    bag.add(n + 10);
  }
  expect(seen).toEqual([1, 2, 3]);
  expect(bag.take()).toEqual([11, 12, 13]);
  expect(bag.size).toBe(0);
});
