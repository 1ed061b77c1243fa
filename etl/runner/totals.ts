import { murmur2 } from '../../core/base/murmur2.ts';
import type { RecordCounts } from '../../core/engine/lineage.ts';
import type { TaskResult } from '../sandbox/sandbox.ts';

/*
 * What a pipeline has done with one partition since it began, kept in the state of every commit: the counts move with
 * the records they count, also across restarts. As a state: `v1:<topicId>:<base64url of this JSON>`, numbers in base 36,
 * names of seven characters and more as their murmur2 hash in base 36, so that 16 steps fit:
 *
 *   { "v": 2,
 *     "n": "in.emitted.dropped.passed.dead.unsorted.letters",
 *     "f": "from",                                 source offset at which counting began; absent: not known
 *     "s": "at.records",                           `since`
 *     "o": { "<output>": "records" },
 *     "p": { "<step>": "in.emitted.dropped.passed.dead.out.since" },
 *     "c": "changelog.entries" }                   `state`; absent: no step keeps any
 *
 * Version 1 had { in, dead, outputs }: letters and outputs by name; its records are `unsorted`.
 */
export interface Totals extends RecordCounts {
  /** Taken before their ends were counted: in = unsorted + emitted + dropped + passed + dead. */
  unsorted: number;
  /** Dead letters: more than `dead` where records were split. */
  letters: number;
  /** Records written, by output; outputs and steps by `keyOf` their name. */
  outputs: Record<string, number>;
  steps: Record<string, StepTotals>;
  /** Source offset at which counting began; null when an older version began it. */
  from: number | null;
  /** What no commit with outputs accounts for yet: records from source offset `at` on, all dropped, in which steps. */
  since: { at: number; records: number; dropped: Record<string, number> };
  /** Which topic holds the state that belongs to this position (the first digits of its id), and how many entries that
   * has; null: no step keeps any. */
  state: { changelog: string; entries: number } | null;
}

/** in = emitted + dropped + passed + dead, of the step's inputs; `out` are the records that left it. */
export interface StepTotals extends RecordCounts {
  out: number;
}

const ENDS = ['emitted', 'dropped', 'passed', 'dead'] as const;
const STEP = ['in', ...ENDS, 'out'] as const;
const KEY_CHARACTERS = 7;

export function freshTotals(start: number): Totals {
  const none = { in: 0, emitted: 0, dropped: 0, passed: 0, dead: 0, unsorted: 0, letters: 0 };
  return { ...none, outputs: {}, steps: {}, from: start, since: { at: start, records: 0, dropped: {} }, state: null };
}

/** The sum of both; `from` and `since` are the first one's. */
export function sumTotals(a: Totals, b: Totals): Totals {
  const sum: Totals = { ...a, outputs: { ...a.outputs }, steps: { ...a.steps } };
  for (const key of ['in', ...ENDS, 'unsorted', 'letters'] as const) sum[key] += b[key];
  for (const [name, records] of Object.entries(b.outputs)) sum.outputs[name] = (sum.outputs[name] ?? 0) + records;
  for (const [name, counts] of Object.entries(b.steps)) sum.steps[name] = sumSteps(sum.steps[name], counts);
  return sum;
}

/** The totals with one more task, its drops counted in `since`. */
export function addTotals(
  before: Totals,
  result: TaskResult,
  steps: readonly string[],
  outputs: readonly string[],
): Totals {
  const all: Totals = { ...before, outputs: { ...before.outputs }, steps: { ...before.steps } };
  all.since = { ...before.since, dropped: { ...before.since.dropped } };
  all.in += result.records;
  for (const end of ENDS) all[end] += result.ends[end];
  all.letters += result.dead?.letters.length ?? 0;
  for (const { route, records } of result.outputs) {
    const key = keyOf(outputs[route] ?? 'default');
    all.outputs[key] = (all.outputs[key] ?? 0) + records;
  }
  result.steps.forEach((counts, i) => {
    const key = keyOf(steps[i] ?? '');
    all.steps[key] = sumSteps(all.steps[key], counts);
    all.since.dropped[key] = (all.since.dropped[key] ?? 0) + counts.dropped;
  });
  return all;
}

function sumSteps(a: StepTotals | undefined, b: StepTotals): StepTotals {
  const sum = { in: 0, emitted: 0, dropped: 0, passed: 0, dead: 0, out: 0, ...a };
  for (const key of STEP) sum[key] += b[key];
  return sum;
}

export function writeTotals(totals: Totals, topicId: string): string {
  const { since, from } = totals;
  const json = JSON.stringify({
    v: 2,
    n: numbers([totals.in, ...ENDS.map(end => totals[end]), totals.unsorted, totals.letters]),
    ...(from !== null && { f: from.toString(36) }),
    s: numbers([since.at, since.records]),
    o: Object.fromEntries(Object.entries(totals.outputs).map(([key, n]) => [key, n.toString(36)])),
    p: Object.fromEntries(
      Object.entries(totals.steps).map(([key, counts]) => [
        key,
        numbers([...STEP.map(each => counts[each]), since.dropped[key] ?? 0]),
      ]),
    ),
    ...(totals.state && { c: `${totals.state.changelog}.${totals.state.entries.toString(36)}` }),
  });
  return `v1:${topicId}:${Buffer.from(json).toString('base64url')}`;
}

/** Those of a state; null for the state of another topic, or one that cannot be read. `start`: the lane's position. */
export function parseTotals(state: string | null, topicId: string, start: number): Totals | null {
  const [version, topic, text] = state?.split(':') ?? [];
  if (version !== 'v1' || topic !== topicId || text === undefined) return null;
  try {
    const json = JSON.parse(Buffer.from(text, 'base64url').toString()) as Stored & First;
    return json.v === 2 ? parseSecond(json) : parseFirst(json, start);
  } catch {
    return null;
  }
}

interface First {
  in?: number;
  dead?: number;
  outputs?: Record<string, number>;
}

function parseFirst({ in: taken = 0, dead = 0, outputs = {} }: First, start: number): Totals {
  const byKey = Object.fromEntries(Object.entries(outputs).map(([name, records]) => [keyOf(name), records]));
  return { ...freshTotals(start), in: taken, unsorted: taken, letters: dead, outputs: byKey, from: null };
}

interface Stored {
  v?: number;
  n: string;
  f?: string;
  s: string;
  o: Record<string, string>;
  p: Record<string, string>;
  c?: string;
}

function parseSecond({ n, f, s, o, p, c }: Stored): Totals {
  const [changelog = '', entries = ''] = c?.split('.') ?? [];
  const [taken = 0, emitted = 0, dropped = 0, passed = 0, dead = 0, unsorted = 0, letters = 0] = parseNumbers(n);
  const [at = 0, records = 0] = parseNumbers(s);
  const totals: Totals = {
    in: taken,
    emitted,
    dropped,
    passed,
    dead,
    unsorted,
    letters,
    outputs: {},
    steps: {},
    from: f === undefined ? null : Number.parseInt(f, 36),
    since: { at, records, dropped: {} },
    state: c === undefined ? null : { changelog, entries: Number.parseInt(entries, 36) },
  };
  for (const [key, count] of Object.entries(o)) totals.outputs[key] = Number.parseInt(count, 36);
  for (const [key, counts] of Object.entries(p)) {
    const [n0 = 0, n1 = 0, n2 = 0, n3 = 0, n4 = 0, n5 = 0, since = 0] = parseNumbers(counts);
    totals.steps[key] = { in: n0, emitted: n1, dropped: n2, passed: n3, dead: n4, out: n5 };
    totals.since.dropped[key] = since;
  }
  return totals;
}

const keys = new Map<string, string>();

/** What totals call a step or output. */
export function keyOf(name: string): string {
  if (name.length < KEY_CHARACTERS) return name;
  let key = keys.get(name);
  if (key === undefined) {
    key = (murmur2(Buffer.from(name)) >>> 0).toString(36).padStart(KEY_CHARACTERS, '0');
    keys.set(name, key);
  }
  return key;
}

const numbers = (values: readonly number[]): string => values.map(value => value.toString(36)).join('.');
const parseNumbers = (text: string): number[] => text.split('.').map(each => Number.parseInt(each, 36));
