import type { Lineage, RecordCounts } from '../../core/engine/lineage.ts';
import type { SourceView } from './snapshot.ts';

/** The commits of one group on one source partition, as the entries of all its outputs tell them. */
export interface Chain {
  next: number;
  commits: number;
  records: RecordCounts;
  /** First thing that does not fit: a gap, an overlap, or two accounts of one commit; null: none. */
  fault: string | null;
}

const COUNTS = ['in', 'emitted', 'dropped', 'passed', 'dead'] as const;

/**
 * Puts the entries of one source partition in order: each commit begins where the one before ended, whichever outputs they
 * wrote to. `since` is the source offset from which on no output has lost entries.
 */
export function chainOf(entries: readonly Lineage[], source: Pick<SourceView, 'position'>, since: number): Chain {
  const byFrom = new Map<number, Lineage>();
  const chain: Chain = {
    next: since,
    commits: 0,
    records: { in: 0, emitted: 0, dropped: 0, passed: 0, dead: 0 },
    fault: null,
  };
  const fault = (text: string): void => void (chain.fault ??= text);
  for (const entry of entries) {
    // A tick of an idle partition takes no source record.
    if (entry.from < since || entry.from === entry.next) continue;
    const same = byFrom.get(entry.from);
    if (!same) byFrom.set(entry.from, entry);
    else if (same.next !== entry.next) {
      fault(`source offset ${entry.from} begins commits up to ${same.next} and up to ${entry.next}`);
    }
  }
  const inOrder = [...byFrom.values()].toSorted((a, b) => a.from - b.from);
  for (const entry of inOrder) {
    if (entry.from > chain.next) fault(`nothing accounts for source offsets ${chain.next} to ${entry.from - 1}`);
    if (entry.from < chain.next) fault(`source offsets ${entry.from} to ${chain.next - 1} were processed twice`);
    chain.next = Math.max(chain.next, entry.next);
    chain.commits++;
    for (const key of COUNTS) chain.records[key] += entry.records?.[key] ?? 0;
  }
  if (chain.next > source.position) fault(`commits go on to ${chain.next}, the position is ${source.position}`);
  return chain;
}

/** The source offset from which on every commit's entries are still in the outputs that it wrote to. */
export function accountedFrom(
  outputs: readonly { from: number; entries: readonly Lineage[] }[],
  { totals, ...source }: Pick<SourceView, 'totals' | 'topicId' | 'partition'>,
  group: string,
): number {
  const own = outputs.map(({ from, entries }) => ({ from, entries: entriesOf(entries, source, group) }));
  const first = Math.min(...own.flatMap(({ entries }) => entries.map(entry => entry.from)));
  const begin = totals.from ?? (Number.isFinite(first) ? first : totals.since.at);
  return own.reduce((since, { from, entries }) => {
    if (from === 0) return since;
    const left = Math.min(...entries.map(entry => entry.from));
    return Math.max(since, Number.isFinite(left) ? left : totals.since.at);
  }, begin);
}

export function entriesOf(
  entries: readonly Lineage[],
  { topicId, partition }: Pick<SourceView, 'topicId' | 'partition'>,
  group: string,
): Lineage[] {
  return entries.filter(each => each.group === group && each.topicId === topicId && each.partition === partition);
}
