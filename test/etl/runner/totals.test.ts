import { describe, expect, it } from 'vitest';
import { MAX_STATE_CHARACTERS } from '../../../core/engine/state.ts';
import { LaneTotals } from '../../../etl/runner/lane-totals.ts';
import { freshTotals, keyOf, parseTotals, sumTotals, type Totals, writeTotals } from '../../../etl/runner/totals.ts';
import type { TaskResult } from '../../../etl/sandbox/sandbox.ts';

const TOPIC_ID = '0123456789abcdef0123456789abcdef';
const MOST = Number.MAX_SAFE_INTEGER;
const STEPS = [
  { name: 'scrub', sha256: '111111111111' },
  { name: 'classify', sha256: '222222222222' },
];

const step = (counts: Partial<TaskResult['steps'][number]>) => {
  return { in: 0, emitted: 0, dropped: 0, passed: 0, dead: 0, out: 0, nanoseconds: 1, ...counts };
};
const result = (part: Partial<TaskResult>): TaskResult => ({
  records: 0,
  ends: { emitted: 0, dropped: 0, passed: 0, dead: 0 },
  outputs: [],
  dead: null,
  steps: [step({}), step({})],
  samples: [],
  stopped: null,
  recycled: null,
  ...part,
});
const open = (state: string | null, start = 100n) =>
  new LaneTotals({ topicId: TOPIC_ID, outputs: ['default', 'constructor'], steps: STEPS, state, start });

/** Ten records: seven out (one of them passed on), two dropped in `classify`, one dead in `scrub`. */
const TEN = result({
  records: 10,
  ends: { emitted: 6, dropped: 2, passed: 1, dead: 1 },
  outputs: [
    { route: 0, partition: 0, batch: new Uint8Array(), records: 8, origins: null },
    { route: 1, partition: 0, batch: new Uint8Array(), records: 3, origins: null },
  ],
  dead: { batch: new Uint8Array(), letters: [{ step: 'scrub', offset: 103, code: 'X', reason: 'x' }] },
  steps: [step({ in: 10, emitted: 9, dead: 1, out: 9 }), step({ in: 9, emitted: 6, dropped: 2, passed: 1, out: 11 })],
});
/** Four records that `classify` drops. */
const FOUR = result({
  records: 4,
  ends: { emitted: 0, dropped: 4, passed: 0, dead: 0 },
  steps: [step({ in: 4, emitted: 4, out: 4 }), step({ in: 4, dropped: 4 })],
});

describe('the totals of a lane', () => {
  it('are the same when they are read back', () => {
    const totals = open(null);
    const { state } = totals.next(TEN, 110n, true);
    const read = parseTotals(state, TOPIC_ID, 0) as Totals;
    expect(read).toMatchObject({
      in: 10,
      emitted: 6,
      dropped: 2,
      passed: 1,
      dead: 1,
      unsorted: 0,
      letters: 1,
      from: 100,
    });
    expect(read.outputs).toEqual({ [keyOf('default')]: 8, [keyOf('constructor')]: 3 });
    expect(read.steps[keyOf('classify')]).toEqual({ in: 9, emitted: 6, dropped: 2, passed: 1, dead: 0, out: 11 });
    expect(writeTotals(read, TOPIC_ID)).toBe(state);
  });

  it('account for what appended nothing with the next commit that appends, also after a restart', () => {
    const first = open(null);
    expect(first.next(FOUR, 104n, false).lineage.from).toBe(100n);
    const { state, done } = first.next(FOUR, 108n, false);
    done();
    const second = open(state, 108n);
    const { lineage } = second.next(TEN, 118n, true);
    expect(lineage).toEqual({
      from: 100n,
      records: { in: 18, emitted: 6, dropped: 10, passed: 1, dead: 1 },
      steps: [
        { name: 'scrub', sha256: '111111111111', dropped: 0, passed: 0, dead: 1 },
        { name: 'classify', sha256: '222222222222', dropped: 10, passed: 1, dead: 0 },
      ],
    });
    expect(second.next(TEN, 128n, true).lineage).toMatchObject({ from: 118n, records: { in: 10, dropped: 2 } });
  });

  it('begin again where the last durable commit ended when those behind it fail', () => {
    const totals = open(null);
    totals.next(TEN, 110n, true).done();
    totals.next(FOUR, 114n, false);
    totals.reset();
    expect(totals.next(TEN, 120n, true).lineage).toMatchObject({ from: 110n, records: { in: 10 } });
  });

  it('keep the counts of a state of version 1', () => {
    const old = { in: 50, dead: 3, outputs: { default: 40, constructor: 9 } };
    const state = `v1:${TOPIC_ID}:${Buffer.from(JSON.stringify(old)).toString('base64url')}`;
    const totals = open(state, 60n);
    totals.next(TEN, 70n, true).done();
    const { committed } = totals;
    expect(committed).toMatchObject({ in: 60, unsorted: 50, emitted: 6, dropped: 2, passed: 1, dead: 1, letters: 4 });
    expect(committed.outputs).toEqual({ [keyOf('default')]: 48, [keyOf('constructor')]: 12 });
    expect(committed.from).toBeNull();
  });

  it('are new for another topic and for what cannot be read', () => {
    const { state } = open(null).next(TEN, 110n, true);
    expect(parseTotals(state, 'f'.repeat(32), 0)).toBeNull();
    expect(parseTotals(`v1:${TOPIC_ID}:rubbish`, TOPIC_ID, 0)).toBeNull();
    expect(parseTotals(null, TOPIC_ID, 0)).toBeNull();
  });

  it('add up', () => {
    const totals = open(null);
    totals.next(TEN, 110n, true).done();
    const sum = sumTotals(totals.committed, totals.committed);
    expect(sum).toMatchObject({ in: 20, emitted: 12, letters: 2 });
    expect(sum.steps[keyOf('scrub')]).toMatchObject({ in: 20, dead: 2 });
  });

  it('fit into a state with 16 steps and 16 outputs, however much was counted', () => {
    const names = Array.from({ length: 16 }, (_, i) => `${'a'.repeat(60)}-${i}`);
    const totals: Totals = {
      ...freshTotals(MOST),
      in: MOST,
      emitted: MOST,
      dropped: MOST,
      passed: MOST,
      dead: MOST,
      unsorted: MOST,
      letters: MOST,
      outputs: Object.fromEntries(names.map(name => [keyOf(name), MOST])),
      steps: Object.fromEntries(
        names.map(name => [
          keyOf(name),
          { in: MOST, emitted: MOST, dropped: MOST, passed: MOST, dead: MOST, out: MOST },
        ]),
      ),
      since: { at: MOST, records: MOST, dropped: Object.fromEntries(names.map(name => [keyOf(name), MOST])) },
    };
    const state = writeTotals(totals, TOPIC_ID);
    expect(state.length).toBeLessThanOrEqual(MAX_STATE_CHARACTERS);
    expect(parseTotals(state, TOPIC_ID, 0)).toEqual(totals);
  });
});
