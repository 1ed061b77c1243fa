import { expect, test } from 'vitest';
import { editDistance, nearest, suggest } from '../../../core/config/did-you-mean.ts';

test.each([
  ['group', 'gruop', 1],
  ['table', 'tabel', 1],
  ['kitten', 'sitting', 3],
  ['', 'abc', 3],
  ['Same', 'same', 0],
])('%j and %j are %i slips apart', (a, b, distance) => {
  expect(editDistance(a, b)).toBe(distance);
  expect(editDistance(b, a)).toBe(distance);
});

test('only what is near enough is offered', () => {
  expect(nearest('gruop', ['topic', 'group', 'start'])).toBe('group');
  expect(nearest('xyz', ['topic', 'group'])).toBeNull();
  expect(nearest('in', ['on'])).toBe('on');
  expect(nearest('to', ['from'])).toBeNull();
});

test('when nothing is near, the list is given', () => {
  expect(suggest('gcs', ['file', 'kafka'])).toBe('there are: `file`, `kafka`');
  expect(suggest('fiel', ['file', 'kafka'])).toBe('did you mean `file`?');
  expect(suggest('x', [])).toBeUndefined();
});
