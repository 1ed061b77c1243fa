import type { Read } from './batches.ts';

/*
 * What the module `tally` keeps, told again from its committed inputs: state = fold of the inputs below the position, and the
 * outputs are those of that fold. When a window ends is the one thing that the inputs do not decide: an idle partition goes
 * on by the clock. Whether a record came late is therefore read from its own output, and held against everything else.
 */
const WINDOW = 200;

/** A topic's partition, as readers of committed records see it. */
export interface SeenRecords {
  committed(): readonly Read[];
  wrong(what: string): Error;
}

export interface SeenTally {
  inputs: SeenRecords;
  told: SeenRecords;
  ended: SeenRecords;
  dead: SeenRecords;
  /** Committed position; -1: none yet. */
  position: number;
  /** The changelog, of each key the newest value. */
  changelog: ReadonlyMap<string, string>;
  partitions: number;
}

export interface TallyCounts {
  inputs: number;
  entries: number;
  ended: number;
  /** Windows that ended before any record was past them. */
  ticked: number;
  late: number;
}

interface Fold {
  counts: Map<string, number>;
  windows: Map<string, number>;
  told: string[];
  dead: string[];
  /** Highest timestamp. */
  time: number;
  late: number;
}

export function checkTally(seen: SeenTally): TallyCounts {
  const inputs = seen.inputs.committed().filter(({ offset }) => offset < seen.position);
  const told = seen.told.committed().map(({ value }) => value ?? '');
  const fold = foldOf(inputs, told);
  const recordTime = Math.max(...inputs.map(({ timestamp }) => timestamp), -Infinity);
  same(told, fold.told, seen.told);
  const dead = seen.dead.committed().map(record => `${record.headers.get('millstream.dl.code')} ${record.value}`);
  same(dead, fold.dead, seen.dead);
  const open = new Map(fold.windows);
  const ended = seen.ended.committed();
  let ticked = 0;
  for (const { value, timestamp } of ended) {
    const [key = '', count = ''] = (value ?? '').split('=');
    if (open.get(key) !== Number(count)) throw seen.ended.wrong(`has ${value}, of ${key} there are ${open.get(key)}`);
    if (timestamp !== endOf(key)) throw seen.ended.wrong(`has ${value} at ${timestamp}`);
    open.delete(key);
    if (endOf(key) > recordTime) ticked++;
  }
  for (const [key, count] of open) {
    if (endOf(key) <= fold.time) throw seen.ended.wrong(`has no ${key}=${count}, the time is ${fold.time}`);
  }
  checkState(seen, fold, open);
  return { inputs: inputs.length, entries: seen.changelog.size, ended: ended.length, ticked, late: fold.late };
}

/** The fold of the inputs; whether a record was late is what its output says, if the time allows it. */
function foldOf(inputs: readonly Read[], outputs: readonly string[]): Fold {
  const fold: Fold = { counts: new Map(), windows: new Map(), told: [], dead: [], time: -Infinity, late: 0 };
  for (const { value: text, timestamp } of inputs) {
    const value = text ?? '';
    const kind = value.charAt(0);
    const group = value.slice(-1);
    fold.time = Math.max(fold.time, timestamp);
    if (kind === 'F' || kind === 'T') {
      fold.dead.push(`${kind === 'F' ? 'REFUSED' : 'TRAP'} ${value}`);
      continue;
    }
    const window = `w/${timestamp - (timestamp % WINDOW) + WINDOW}/${group}`;
    const count = (fold.counts.get(group) ?? 0) + (kind === '2' ? 2 : 1);
    fold.counts.set(group, count);
    if (kind === 'D') {
      fold.counts.delete(group);
      continue;
    }
    const late = endOf(window) <= fold.time || (outputs[fold.told.length]?.endsWith(' late') ?? false);
    if (!late) fold.windows.set(window, (fold.windows.get(window) ?? 0) + 1);
    else fold.late++;
    // Late by the clock: then the step's time is at least that.
    if (late) fold.time = Math.max(fold.time, endOf(window));
    const sum = [...fold.counts.values()].reduce((total, each) => total + each, 0);
    const line = `${value}=${kind === 'R' ? sum : count} ${late ? 'late' : fold.windows.get(window)}`;
    fold.told.push(line);
    if (kind === '2') fold.told.push(line);
  }
  return fold;
}

function checkState({ changelog, told, partitions }: SeenTally, fold: Fold, open: ReadonlyMap<string, number>): void {
  const expected = new Map<string, string>();
  for (const [group, count] of fold.counts) expected.set(`v/tally/n/${group}`, numberOf(count));
  for (const [key, count] of open) {
    expected.set(`v/tally/${key}`, numberOf(count));
    expected.set(`t/tally/${timeOf(endOf(key))}${key.slice(-1)}`, '');
  }
  if (changelog.size > 0) {
    expected.set('h/tally', JSON.stringify({ v: 1, state_version: 1, partitions }));
    const time = Number(changelog.get('c/tally'));
    if (!(time >= fold.time)) throw told.wrong(`has records of ${fold.time}, its step's time is ${time}`);
    expected.set('c/tally', String(time));
  }
  for (const key of new Set([...expected.keys(), ...changelog.keys()])) {
    const [found, due] = [changelog.get(key), expected.get(key)];
    if (found === due) continue;
    const shown = (text: string | undefined): string =>
      text === undefined ? 'nothing' : Buffer.from(text, 'latin1').toString('hex');
    throw told.wrong(`has a state whose ${JSON.stringify(key)} is ${shown(found)}, it should be ${shown(due)}`);
  }
}

function same(found: readonly string[], expected: readonly string[], history: SeenRecords): void {
  const at = expected.findIndex((value, i) => value !== found[i]);
  if (at < 0 && found.length === expected.length) return;
  const from = at < 0 ? expected.length : at;
  throw history.wrong(
    `has ${found.length} records, ${expected.length} are due: record ${from} is ${found[from]}, due is ${expected[from]}`,
  );
}

const endOf = (window: string): number => Number(window.split('/')[1]);

/** Eight bytes, little endian. */
function numberOf(count: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(count));
  return bytes.toString('latin1');
}

/** Eight bytes, big endian, of a time + 2^52. */
function timeOf(time: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(time) + 2n ** 52n);
  return bytes.toString('latin1');
}
