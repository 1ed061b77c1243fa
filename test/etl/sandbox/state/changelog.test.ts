import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../../core/base/random.ts';
import { encodeBatch, readRecords } from '../../../../core/engine/records.ts';
import { changelogBatches } from '../../../../etl/sandbox/state/changelog-batches.ts';
import { KeyedStore } from '../../../../etl/sandbox/state/keyed-store.ts';
import { OrderedKeys } from '../../../../etl/sandbox/state/ordered-keys.ts';
import { timerKey, timerName, timerTime } from '../../../../etl/sandbox/state/step-state.ts';

const random = seededRandom(11);
const below = (limit: number): number => Math.floor(random.float() * limit);
const anyBytes = (most: number): string =>
  Buffer.from(Array.from({ length: below(most) }, () => below(256))).toString('latin1');

describe('the changelog', () => {
  it('is encoded as the codec of the log does it', () => {
    const entries = Array.from({ length: 300 }, () => ({
      prefix: 'v/step/',
      name: anyBytes(90),
      value: below(5) === 0 ? undefined : anyBytes(300),
    }));
    const records = entries.map(({ prefix, name, value }) => ({
      timestamp: 1234,
      key: Buffer.from(prefix + name, 'latin1'),
      value: value === undefined ? null : Buffer.from(value, 'latin1'),
    }));
    expect(changelogBatches(entries, 1234)).toEqual([Buffer.from(encodeBatch(records))]);
    expect(changelogBatches([], 1)).toEqual([]);
  });

  it('comes in batches below the limit of a topic', () => {
    const value = 'v'.repeat(200_000);
    const entries = Array.from({ length: 9 }, (_, i) => ({ prefix: 'v/s/', name: String(i), value }));
    const batches = changelogBatches(entries, 1);
    expect(batches.map(batch => readRecords(batch).length)).toEqual([3, 3, 3]);
    expect(batches.every(batch => batch.length < 1_000_000 && batch.buffer.byteLength === batch.length)).toBe(true);
  });
});

it('ordered keys are those of a sorted list, whatever is added and removed', () => {
  const keys = new OrderedKeys();
  const model = new Set<string>();
  for (let i = 0; i < 6000; i++) {
    const key = String(below(3000));
    if (model.has(key)) {
      model.delete(key);
      keys.remove(key);
    } else {
      model.add(key);
      keys.add(key);
    }
    if (i % 500 !== 0) continue;
    const from = String(below(3000));
    const sorted = [...model].toSorted();
    expect([...keys.from(from)]).toEqual(sorted.filter(each => each >= from));
    expect(keys.first).toBe(sorted[0]);
  }
});

it('a store goes back to any mark, with its order and its size', () => {
  const store = new KeyedStore();
  const states: { mark: number; entries: [string, string][]; bytes: number }[] = [];
  const entries = (): [string, string][] => [...store.keysFrom('')].map(key => [key, store.get(key) ?? '?']);
  for (let i = 0; i < 2000; i++) {
    if (i % 50 === 0) states.push({ mark: store.mark(), entries: entries(), bytes: store.bytes });
    store.set(`k${below(100)}`, below(3) === 0 ? undefined : `v${i}`);
  }
  for (const { mark, entries: before, bytes } of states.toReversed()) {
    store.rollBack(mark);
    expect(entries()).toEqual(before);
    expect(store.bytes).toBe(bytes);
  }
  expect(store.bytes).toBe(0);
});

it('timers are in the order of their times', () => {
  const times = [-5_000_000_000_000, -1, 0, 1, 255, 256, 1_700_000_000_000, 2 ** 51];
  const keys = times.map(time => timerKey(time, 'k'));
  expect(keys.toSorted()).toEqual(keys);
  expect(keys.map(timerTime)).toEqual(times);
  expect(timerName(timerKey(7, 'a\u00ffb'))).toBe('a\u00ffb');
});
