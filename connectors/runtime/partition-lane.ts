import { sleep } from '../../core/base/clock.ts';
import { backOffMs } from './back-off.ts';
import type { Sink } from './contract.ts';
import { type Failure, failureOf } from './failure.ts';
import type { LaneEnd, LaneOptions } from './lane.ts';
import { LanePass } from './lane-pass.ts';
import { unframeState } from './state-frame.ts';

/** One partition of a sink for as long as its lease lasts: acquires a writer, and a new one when it was fenced. */
export class PartitionLane {
  private readonly options: LaneOptions;
  private readonly sink: Sink;
  private readonly draining = new AbortController();
  private committed: bigint;
  private framedState: string | null;
  private pass: LanePass | null = null;

  constructor(sink: Sink, options: LaneOptions) {
    this.sink = sink;
    this.options = options;
    this.committed = options.lease.start;
    this.framedState = options.lease.position?.state ?? null;
  }

  /** First offset that is not committed. */
  get next(): bigint {
    return this.pass?.committer.next ?? this.committed;
  }

  /** No new reads; what was read is written and committed, then `run` resolves. */
  drain(): void {
    this.draining.abort();
  }

  /** Is anything read and not committed yet? */
  get isBusy(): boolean {
    return this.pass?.isBusy ?? false;
  }

  /** Timestamp of the oldest row that waits; null when none does. */
  get oldest(): number | null {
    return this.pass?.oldest ?? null;
  }

  async run(): Promise<LaneEnd> {
    const { lease } = this.options;
    for (let attempt = 1; ; attempt++) {
      if (lease.signal.aborted) return { how: 'abandoned' };
      if (this.draining.signal.aborted) return { how: 'drained' };
      const known = this.unframed();
      if (known === 'foreign') return this.conflict();
      const before = this.committed;
      let failure: Failure;
      try {
        const end = await this.onePass(known.state);
        if (end.how !== 'fenced') return end;
        // Fenced by the outside system while the lease is still ours: take the partition anew from the last commit.
        failure = { kind: 'fenced', code: end.code, reason: end.reason, retryAfterMs: 0, rejected: [] };
      } catch (thrown) {
        failure = failureOf(thrown);
        if (failure.kind === 'fatal') return { how: 'stopped', code: failure.code, reason: failure.reason };
      }
      if (this.committed > before) attempt = 1;
      await this.pause(failure, attempt);
    }
  }

  private async onePass(state: string | null): Promise<LaneEnd> {
    const { lease, on } = this.options;
    const { topic, topicId, partition, partitions, epoch } = lease;
    const writer = await this.sink.acquire({ topic, topicId, partition, partitions, epoch, state });
    on.trouble(null);
    const pass = new LanePass(this.options, writer, this.committed, this.framedState);
    this.pass = pass;
    const end = await pass.run(this.draining.signal);
    this.pass = null;
    this.committed = pass.committer.next;
    this.framedState = pass.committer.framedState;
    return end;
  }

  private unframed(): { state: string | null } | 'foreign' {
    const { lease, exactlyOnce } = this.options;
    if (this.framedState === null) {
      return exactlyOnce && lease.position !== null ? 'foreign' : { state: null };
    }
    const unframed = unframeState(lease.topicId, this.framedState);
    if (unframed !== 'foreign') return { state: unframed.state === '' ? null : unframed.state };
    // At least once needs no state: one of another topic is worth nothing.
    return exactlyOnce ? 'foreign' : { state: null };
  }

  private conflict(): LaneEnd {
    const { topic, partition } = this.options.lease;
    const what = this.framedState === null ? 'is missing beside its position' : 'is not one of this topic';
    const reason = `the committed state of ${topic}/${partition} ${what}, so exactly once cannot be kept from here`;
    return { how: 'stopped', code: 'SINK_STATE_CONFLICT', reason };
  }

  private async pause(failure: Failure, attempt: number): Promise<void> {
    const { lease, retry, random, clock, on } = this.options;
    on.retried(failure.kind);
    on.trouble({ state: 'degraded', reason: `${failure.reason} (${failure.code})` });
    const delayMs = backOffMs(attempt, retry, random, failure.retryAfterMs);
    await sleep(clock, delayMs, AbortSignal.any([lease.signal, this.draining.signal]));
  }
}
