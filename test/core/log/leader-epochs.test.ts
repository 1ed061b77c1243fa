import { expect, test } from 'vitest';
import { LeaderEpochs } from '../../../core/log/leader-epochs.ts';

test('an epoch ends where the next one begins, the newest at the end of the log', () => {
  const epochs = new LeaderEpochs();
  epochs.assign(0, 0);
  epochs.assign(3, 100);
  epochs.assign(4, 250);
  expect(epochs.endOffsetFor(0, 400)).toEqual({ epoch: 0, endOffset: 100 });
  expect(epochs.endOffsetFor(2, 400)).toEqual({ epoch: 0, endOffset: 100 });
  expect(epochs.endOffsetFor(3, 400)).toEqual({ epoch: 3, endOffset: 250 });
  expect(epochs.endOffsetFor(4, 400)).toEqual({ epoch: 4, endOffset: 400 });
  expect(epochs.endOffsetFor(5, 400)).toBeNull();
  expect(epochs.endOffsetFor(-1, 400)).toBeNull();
});

test('an epoch in which nothing was written is dropped', () => {
  const epochs = new LeaderEpochs();
  epochs.assign(0, 0);
  epochs.assign(1, 10);
  epochs.assign(2, 10);
  expect(epochs.toText()).toBe('0\n2\n0 0\n2 10\n');
});

test('what is written is read again, and anything else is refused', () => {
  const text = '0\n2\n0 0\n7 120\n';
  expect(LeaderEpochs.parse(text)?.toText()).toBe(text);
  for (const bad of ['', '1\n0\n', '0\n2\n0 0\n', '0\n2\n3 0\n1 5\n', '0\n1\nx y\n']) {
    expect(LeaderEpochs.parse(bad)).toBeNull();
  }
});
