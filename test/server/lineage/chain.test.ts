import { expect, it } from 'vitest';
import type { Lineage } from '../../../core/engine/lineage.ts';
import { freshTotals } from '../../../etl/runner/totals.ts';
import { accountedFrom, chainOf } from '../../../server/lineage/chain.ts';

const topicId = 'f'.repeat(32);
const commit = (from: number, next: number): Lineage => ({
  group: 'millstream.p',
  topic: 'in',
  topicId,
  partition: 0,
  from,
  next,
  appends: [],
  records: { in: next - from, emitted: next - from, dropped: 0, passed: 0, dead: 0 },
  steps: [],
});
const position = 100;

it('puts the entries of several outputs in one order, each commit once', () => {
  const entries = [commit(0, 10), commit(20, 30), commit(0, 10), commit(10, 20), commit(20, 30)];
  expect(chainOf(entries, { position }, 0)).toMatchObject({ next: 30, commits: 3, records: { in: 30 }, fault: null });
});

it.each([
  ['a gap', [commit(0, 10), commit(11, 20)], 'nothing accounts for source offsets 10 to 10'],
  ['a gap at the beginning', [commit(5, 10)], 'nothing accounts for source offsets 0 to 4'],
  ['an overlap', [commit(0, 10), commit(8, 20)], 'source offsets 8 to 9 were processed twice'],
  [
    'two accounts of one commit',
    [commit(0, 10), commit(0, 12)],
    'source offset 0 begins commits up to 10 and up to 12',
  ],
  ['commits beyond the position', [commit(0, 101)], 'commits go on to 101, the position is 100'],
])('finds %s', (_, entries, fault) => {
  expect(chainOf(entries, { position }, 0).fault).toBe(fault);
});

it('begins where no output has lost anything', () => {
  const source = { topicId, partition: 0, totals: { ...freshTotals(0), since: { at: 90, records: 0, dropped: {} } } };
  const whole = { from: 0, entries: [commit(0, 10), commit(40, 50)] };
  expect(accountedFrom([whole], source, 'millstream.p')).toBe(0);
  expect(accountedFrom([whole, { from: 7, entries: [commit(30, 40)] }], source, 'millstream.p')).toBe(30);
  expect(accountedFrom([whole, { from: 7, entries: [] }], source, 'millstream.p')).toBe(90);
  const old = { ...source, totals: { ...source.totals, from: null } };
  expect(accountedFrom([{ from: 0, entries: [commit(40, 50)] }], old, 'millstream.p')).toBe(40);
});
