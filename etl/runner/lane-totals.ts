import type { TaskResult } from '../sandbox/sandbox.ts';

/*
 * What a pipeline has done with one partition since it began, kept in the state of every commit: the counts move with
 * the records they count, also across restarts. As a state: `v1:<topicId>:<base64url of this object as JSON>`.
 */
export interface Totals {
  in: number;
  dead: number;
  /** Records written, by output. */
  outputs: Record<string, number>;
}

export class LaneTotals {
  /** Of the last durable commit. */
  committed: Totals;
  private readonly topicId: string;
  private readonly names: readonly string[];
  /** With the commits under way. */
  private latest: Totals;

  constructor(topicId: string, outputNames: readonly string[], state: string | null) {
    this.topicId = topicId;
    this.names = outputNames;
    this.committed = parse(topicId, state);
    this.latest = this.committed;
  }

  /** Adds what the next commit writes; called in commit order. Gives the commit's state and what to call when done. */
  next(result: TaskResult): { state: string; done: () => void } {
    const totals: Totals = {
      in: this.latest.in + result.records,
      dead: this.latest.dead + (result.dead?.letters.length ?? 0),
      outputs: { ...this.latest.outputs },
    };
    for (const { route, records } of result.outputs) {
      const name = this.names[route] ?? 'default';
      totals.outputs[name] = (totals.outputs[name] ?? 0) + records;
    }
    this.latest = totals;
    const state = `v1:${this.topicId}:${Buffer.from(JSON.stringify(totals)).toString('base64url')}`;
    return { state, done: () => void (this.committed = totals) };
  }

  /** The commits under way have failed. */
  reset(): void {
    this.latest = this.committed;
  }
}

/** Counts are for people: a state of another topic, or one that cannot be read, begins anew. */
function parse(topicId: string, state: string | null): Totals {
  const fresh: Totals = { in: 0, dead: 0, outputs: {} };
  const [version, topic, text] = state?.split(':') ?? [];
  if (version !== 'v1' || topic !== topicId || text === undefined) return fresh;
  try {
    return { ...fresh, ...(JSON.parse(Buffer.from(text, 'base64url').toString()) as Partial<Totals>) };
  } catch {
    return fresh;
  }
}
