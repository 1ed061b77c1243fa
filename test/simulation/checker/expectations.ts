import type { Read } from './batches.ts';
import type { History } from './history.ts';
import { isTaken, one, type Outcome, two } from './model.ts';

/** What was seen from outside while nothing but readers moved. */
export interface Seen {
  partitions: number;
  history: (topic: string, partition: number) => History;
  /** -1: the group has none there. */
  position: (group: string, topic: string, partition: number) => { offset: number; state: string };
  /** Rows of the warehouse. */
  rows: (topic: string, partition: number) => readonly string[];
}

export type Committed = Read;

export const text = (record: Read): string => record.value ?? '';
const below = (records: readonly Read[], offset: number): Read[] => records.filter(record => record.offset < offset);

/** Outputs, dead letters, positions, states and rows are exactly those of the committed inputs. */
export function checkEverything(seen: Seen): void {
  for (let partition = 0; partition < seen.partitions; partition++) {
    checkPipeline(seen, partition, { name: 'one', source: 'in', main: 'mid', side: 'odd' }, one, []);
    checkPipeline(seen, partition, { name: 'two', source: 'mid', main: 'out', side: 'rest' }, two, [
      ...refusedRows(seen, partition),
    ]);
    checkWarehouse(seen, partition);
  }
}

/** Everything was processed: the positions are at the end. */
export function checkDone(seen: Seen): void {
  const ends: [group: string, topic: string][] = [
    ['millstream.one', 'in'],
    ['millstream.two', 'mid'],
    ['millstream.two.warehouse', 'out'],
    ['millstream.two.files', 'out'],
    ['millstream.two.dead_letter', 'two.dead'],
  ];
  for (let partition = 0; partition < seen.partitions; partition++) {
    for (const [group, topic] of ends) {
      const { offset } = seen.position(group, topic, partition);
      const last = seen.history(topic, partition).committed().at(-1)?.offset ?? -1;
      if (last >= 0 && offset <= last)
        throw new Error(`${group} is at ${offset} of ${topic}-${partition}, records go to ${last}`);
    }
  }
}

interface Route {
  name: string;
  source: string;
  main: string;
  side: string;
}

function checkPipeline(
  seen: Seen,
  partition: number,
  { name, source, main, side }: Route,
  model: (value: string) => Outcome,
  otherDead: readonly string[],
): void {
  const position = positionIn(seen, `millstream.${name}`, source, partition);
  const inputs = below(seen.history(source, partition).committed(), position);
  const emitted: string[] = [];
  const routed: string[] = [];
  const dead: string[] = [];
  for (const input of inputs) {
    const value = text(input);
    const outcome = model(value);
    for (let copy = 0; copy < outcome.emitted; copy++) emitted.push(value);
    if (outcome.routed) routed.push(value);
    if (outcome.dead) dead.push(`${outcome.dead.step} ${outcome.dead.code} ${input.offset} ${value}`);
  }
  compare(seen.history(main, partition), emitted, `what ${name} made of ${source} below ${position}`);
  compare(seen.history(side, partition), routed, `what ${name} routed of ${source} below ${position}`);
  const letters = seen.history(`${name}.dead`, partition);
  const found = letters.committed().map(letterOf);
  const steps = found.filter(letter => !letter.startsWith('warehouse '));
  same(steps, dead, letters, `the dead letters of ${source} below ${position}`);
  const sinks = found.filter(letter => letter.startsWith('warehouse '));
  same(sinks, otherDead, letters, 'what the sinks refused');
}

/** What killed it, where, and what it is. */
export function letterOf(record: Read): string {
  const say = (name: string): string => record.headers.get(`millstream.dl.${name}`) ?? '';
  return `${say('name')} ${say('code')} ${say('offset')} ${text(record)}`;
}

function refusedRows(seen: Seen, partition: number): string[] {
  const position = positionIn(seen, 'millstream.two.warehouse', 'out', partition);
  return below(seen.history('out', partition).committed(), position)
    .filter(record => !isTaken(text(record)))
    .map(record => `warehouse UNWANTED ${record.offset} ${text(record)}`);
}

/** The rows may be ahead of the position, never behind it; the state says how many there were at the position. */
function checkWarehouse(seen: Seen, partition: number): void {
  const history = seen.history('out', partition);
  const group = 'millstream.two.warehouse';
  const position = positionIn(seen, group, 'out', partition);
  const taken = history.committed().filter(record => isTaken(text(record)));
  const committed = below(taken, position).length;
  const rows = seen.rows('out', partition);
  if (rows.length < committed)
    throw history.wrong(`has ${committed} rows below the position, ${rows.length} are there`);
  same(rows, taken.slice(0, rows.length).map(text), history, 'the rows');
  const { state } = seen.position(group, 'out', partition);
  if (state !== '' && !state.endsWith(`:${committed}`)) {
    throw history.wrong(`has ${committed} rows below the position, its state says ${state}`);
  }
}

export function positionIn(seen: Seen, group: string, topic: string, partition: number): number {
  const { offset } = seen.position(group, topic, partition);
  const { servedEnd, name } = seen.history(topic, partition);
  if (offset > servedEnd) throw new Error(`${group} is at ${offset} of ${name}, which ends at ${servedEnd}`);
  return Math.max(offset, 0);
}

function compare(history: History, expected: readonly string[], what: string): void {
  same(history.committed().map(text), expected, history, what);
}

export function same(found: readonly string[], expected: readonly string[], history: History, what: string): void {
  const at = expected.findIndex((value, i) => value !== found[i]);
  if (at < 0 && found.length === expected.length) return;
  const from = at < 0 ? expected.length : at;
  throw history.wrong(
    `differs from ${what}: record ${from} of ${found.length} is ${found[from]}, of ${expected.length} is ${expected[from]}`,
  );
}

export interface SentRecord {
  value: string;
  partition: number;
  offset: number | null;
  transaction: { outcome: 'committed' | 'aborted' | 'unknown'; values: readonly SentRecord[] } | null;
}

/**
 * The source topic holds what producers were told: acknowledged records once, at their offset; each producer's in order
 * and none twice; transactions whole or not at all. `gapless`: the producer does not give up before all of it is there.
 */
export function checkProducer(
  name: string,
  sent: readonly SentRecord[],
  gapless: boolean,
  histories: readonly History[],
): void {
  const there = new Map<string, number>();
  const committed = new Set<string>();
  for (const history of histories) {
    let before = -1;
    for (const { value, offset } of history.all()) {
      if (value === null || value.slice(2, value.indexOf('.')) !== name) continue;
      const number = Number(value.slice(value.indexOf('.') + 1));
      if (number <= before) throw history.wrong(`has ${value} behind number ${before} of the same producer`);
      before = number;
      there.set(value, offset);
    }
    for (const { value } of history.committed()) if (value !== null) committed.add(value);
  }
  const open = histories.map(() => false);
  for (const { value, partition, offset, transaction } of sent) {
    const history = histories[partition] as History;
    if (offset !== null && there.get(value) !== offset) {
      throw history.wrong(`has ${value} at ${there.get(value)}, it was acknowledged at ${offset}`);
    }
    if (gapless) {
      if (!there.has(value)) open[partition] = true;
      else if (open[partition]) throw history.wrong(`has ${value}, but not all before it`);
    }
    if (!transaction) continue;
    if (transaction.outcome === 'committed' && !committed.has(value)) {
      throw history.wrong(`has no ${value}, which was committed`);
    }
    if (transaction.outcome === 'aborted' && committed.has(value)) {
      throw history.wrong(`has ${value}, which was aborted`);
    }
    const whole = transaction.values.every(other => committed.has(other.value) === committed.has(value));
    if (!whole) throw history.wrong(`has not all of the transaction of ${value}`);
  }
}
