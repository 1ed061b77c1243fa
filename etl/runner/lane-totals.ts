import type { CommitLineage } from '../../core/engine/engine.ts';
import type { TaskResult } from '../sandbox/sandbox.ts';
import { addTotals, freshTotals, keyOf, parseTotals, type Totals, writeTotals } from './totals.ts';

export interface LaneTotalsOptions {
  /** Of the source. */
  topicId: string;
  /** Outputs by their number. */
  outputs: readonly string[];
  /** In order; `sha256` as lineage keeps it. */
  steps: readonly { name: string; sha256: string }[];
  /** As committed last. */
  state: string | null;
  /** Source offset at which this lane begins. */
  start: bigint;
  /** Of the topic that keeps the steps' state; null: they keep none. */
  changelog?: string | null;
}

/** What one commit says besides its outputs and its position. */
export interface CommitWords {
  state: string;
  lineage: CommitLineage;
  /** To be called when the commit is durable. */
  done: () => void;
}

/** The totals of one lane: they move with the commits that they count. */
export class LaneTotals {
  /** Of the last durable commit. */
  committed: Totals;
  private readonly options: LaneTotalsOptions;
  private steps: LaneTotalsOptions['steps'];
  /** With the commits under way. */
  private latest: Totals;

  constructor(options: LaneTotalsOptions) {
    const { topicId, state, start } = options;
    this.options = options;
    this.steps = options.steps;
    this.committed = parseTotals(state, topicId, Number(start)) ?? freshTotals(Number(start));
    this.latest = this.committed;
  }

  /** Adds what the next commit, which ends at source offset `next`, writes; called in commit order. */
  next(result: TaskResult, next: bigint, appends: boolean): CommitWords {
    const { topicId, outputs } = this.options;
    const { steps } = this;
    const names = steps.map(step => step.name);
    const all = addTotals(this.latest, result, names, outputs);
    const { since } = all;
    const lineage: CommitLineage = {
      from: BigInt(since.at),
      records: { in: result.records + since.records, ...result.ends, dropped: result.ends.dropped + since.records },
      steps: steps.map(({ name, sha256 }, i) => {
        const { passed = 0, dead = 0 } = result.steps[i] ?? {};
        return { name, sha256, dropped: since.dropped[keyOf(name)] ?? 0, passed, dead };
      }),
    };
    all.since = appends
      ? { at: Number(next), records: 0, dropped: {} }
      : { ...since, records: since.records + result.records };
    const { changelog = null } = this.options;
    if (changelog !== null && result.state) all.state = { changelog, entries: result.state.entries };
    this.latest = all;
    return { state: writeTotals(all, topicId), lineage, done: () => void (this.committed = all) };
  }

  /** The next commit is the first one of other modules; none is under way. */
  workedBy(steps: LaneTotalsOptions['steps']): void {
    this.steps = steps;
  }

  /** The commits under way have failed. */
  reset(): void {
    this.latest = this.committed;
  }
}
