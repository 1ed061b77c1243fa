/** Where records lose their time on the way through a step: every hop of every record, and what the slowest have in common. */
import { percentiles } from './disk.ts';
import type { ServerHops } from './hops-server.ts';

/** Of one record. Times in milliseconds of the system's monotonic clock. */
export interface Journey {
  due: number;
  sent: number;
  received: number;
}

const HOPS = [
  'generator late',
  'to the log',
  'source sync',
  'wait for a task',
  'task and worker',
  'wait for its turn',
  'outputs sync',
  'decision sync',
  'answer and consumer',
] as const;

/**
 * A line a hop: percentiles over all records, and the mean of the slowest hundredth. `journeys[n]` is the record at
 * offset `first + n` of the source.
 */
export function hopFigures(server: ServerHops, journeys: readonly Journey[], first: number): HopFigures {
  const points = journeys.map(({ due, sent, received }, n) => {
    const at = first + n;
    const [, appended, durable] = byEnd(server.source, at);
    const [, handed, back] = byStart(server.tasks, at);
    const [, asked, done] = byEnd(server.commits, at);
    const [outputs, decided] = decisionBy(server.decisions, done);
    // What waits for an earlier transaction is staged when that one is done: at least one sync before the decision.
    const began = Math.max(asked, previousDecision(server.decisions, outputs));
    return [due, sent, appended, durable, handed, back, began, outputs, decided, received];
  });
  const total = points.map(times => (times.at(-1) ?? 0) - (times[0] ?? 0));
  const { p99_ms: limit = 0 } = percentiles(total);
  const slow = points.filter((_, i) => (total[i] ?? 0) >= limit);
  const hops = HOPS.map((hop, i) => {
    const of = (times: number[]): number => (times[i + 1] ?? 0) - (times[i] ?? 0);
    const mean = slow.reduce((sum, times) => sum + of(times), 0) / slow.length;
    const { p50_ms = 0, p99_ms = 0 } = percentiles(points.map(of));
    return { hop, figures: { p50_ms, p99_ms, mean_of_slowest_ms: mean } };
  });
  const [from, to] = [points[0]?.[0] ?? 0, points.at(-1)?.at(-1) ?? 0];
  const during = <T extends readonly number[]>(all: readonly T[]): T[] =>
    all.filter(([at]) => (at as number) >= from && (at as number) <= to);
  const collections = during(server.collections).map(([, ms]) => ms);
  const late = during(server.late);
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  return {
    hops,
    main: {
      seconds: (to - from) / 1000,
      collections: collections.length,
      collections_ms: sum(collections),
      longest_collection_ms: Math.max(0, ...collections),
      late_ticks: late.length,
      late_ms: sum(late.map(([, ms]) => ms)),
      late_without_processor_ms: sum(late.map(([, ms, waited]) => Math.min(ms, waited))),
    },
  };
}

export interface HopFigures {
  hops: { hop: string; figures: Record<string, number> }[];
  /** Of the server's main thread. */
  main: Record<string, number>;
}

type Timed = readonly [number, number, number];

/** The entry whose end lies above `offset`, of ascending ones. */
function byEnd(entries: readonly Timed[], offset: number): Timed {
  return entries[search(entries.length, i => (entries[i] as Timed)[0] > offset)] as Timed;
}

/** The last entry that begins at or below `offset`. */
function byStart(entries: readonly Timed[], offset: number): Timed {
  return entries[search(entries.length, i => (entries[i] as Timed)[0] > offset) - 1] as Timed;
}

/** The last decision that was durable when the commit was. */
function decisionBy(decisions: readonly [number, number][], done: number): [number, number] {
  return decisions[search(decisions.length, i => (decisions[i]?.[1] ?? 0) > done) - 1] as [number, number];
}

function previousDecision(decisions: readonly [number, number][], before: number): number {
  return decisions[search(decisions.length, i => (decisions[i]?.[0] ?? 0) >= before) - 1]?.[1] ?? 0;
}

/** The first place where `is` holds; it holds for all behind it. */
function search(length: number, is: (i: number) => boolean): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (is(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
