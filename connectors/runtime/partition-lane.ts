import { sleep } from '../../core/base/clock.ts';
import { backOffMs } from './back-off.ts';
import { Committer } from './committer.ts';
import type { PeerState, Sink } from './contract.ts';
import { type Failure, failureOf } from './failure.ts';
import { Ended, type LaneEnd, type LaneOptions } from './lane.ts';
import { LanePass } from './lane-pass.ts';
import { SinkError } from './sink-error.ts';
import { unframeState } from './state-frame.ts';

/** One partition of a sink for as long as its lease lasts: acquires a writer, and a new one when it was fenced. */
export class PartitionLane {
  private readonly options: LaneOptions;
  private readonly sink: Sink;
  private readonly draining = new AbortController();
  private readonly committer: Committer;
  private pass: LanePass | null = null;

  constructor(sink: Sink, options: LaneOptions) {
    this.sink = sink;
    this.options = options;
    this.committer = new Committer(options);
  }

  /** First offset that is not committed. */
  get next(): bigint {
    return this.committer.next;
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
      const before = this.committer.next;
      let failure: Failure;
      try {
        const end = await this.onePass();
        if (end.how !== 'fenced') return end;
        // Fenced by the outside system while the lease is still ours: take the partition anew from the last commit.
        failure = { kind: 'fenced', code: end.code, reason: end.reason, retryAfterMs: 0, rejected: [] };
      } catch (thrown) {
        failure = failureOf(thrown);
        if (failure.kind === 'fatal') return { how: 'stopped', code: failure.code, reason: failure.reason };
      }
      if (this.committer.next > before) attempt = 1;
      await this.pause(failure, attempt);
    }
  }

  private async onePass(): Promise<LaneEnd> {
    const { options, committer } = this;
    const { topic, topicId, partition, partitions, epoch } = options.lease;
    const state = this.state();
    if (options.exactlyOnce) await this.states();
    committer.trouble = trouble => options.on.trouble(trouble);
    committer.over = AbortSignal.any([options.lease.signal, this.draining.signal]);
    const writer = await this.sink.acquire({
      topic,
      topicId,
      partition,
      partitions,
      epoch,
      state,
      lasts: options.lasts(topic),
      states: () => this.states(),
      intent: wanted => this.intent(wanted),
    });
    options.on.trouble(null);
    const pass = new LanePass(options, writer, committer);
    this.pass = pass;
    const end = await pass.run(this.draining.signal);
    this.pass = null;
    return end;
  }

  private state(): string | null {
    const { lease, exactlyOnce } = this.options;
    const { framedState } = this.committer;
    if (framedState === null) {
      if (exactlyOnce && lease.position !== null) throw stateConflict(lease, 'is missing beside its position');
      return null;
    }
    const unframed = unframeState(lease.topicId, framedState);
    if (unframed !== 'foreign') return unframed.state === '' ? null : unframed.state;
    // At least once needs no state: one of another topic is worth nothing.
    if (exactlyOnce) throw stateConflict(lease, 'is not one of this topic');
    return null;
  }

  private async states(): Promise<PeerState[]> {
    const { lease, lasts, exactlyOnce } = this.options;
    const states: PeerState[] = [];
    for (const { position, ...where } of await lease.peers()) {
      const unframed = position.state === null ? 'foreign' : unframeState(null, position.state);
      if (unframed !== 'foreign') {
        if (unframed.state !== '') states.push({ state: unframed.state, lasts: lasts(where.topic) });
      } else if (exactlyOnce) throw stateConflict(where, 'is missing beside its position');
    }
    return states;
  }

  private async intent(state: string): Promise<void> {
    try {
      await this.committer.intent(state);
    } catch (thrown) {
      if (!(thrown instanceof Ended)) throw thrown;
      throw new SinkError('fenced', 'LEASE_LOST', 'the partition went to another owner', { cause: thrown });
    }
  }

  private async pause(failure: Failure, attempt: number): Promise<void> {
    const { lease, retry, random, clock, on } = this.options;
    on.retried(failure.kind);
    on.trouble({ state: 'degraded', reason: `${failure.reason} (${failure.code})` });
    const delayMs = backOffMs(attempt, retry, random, failure.retryAfterMs);
    await sleep(clock, delayMs, AbortSignal.any([lease.signal, this.draining.signal]));
  }
}

function stateConflict({ topic, partition }: { topic: string; partition: number }, what: string): SinkError {
  const reason = `the committed state of ${topic}/${partition} ${what}, so exactly once cannot be kept from here: \`millstream sink reset\` lets it go on`;
  return new SinkError('fatal', 'SINK_STATE_CONFLICT', reason);
}
