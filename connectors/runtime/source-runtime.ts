import { type Clock, sleep } from '../../core/base/clock.ts';
import { asMillstreamError } from '../../core/base/errors.ts';
import type { Logger } from '../../core/base/logger.ts';
import type { Counter, Metrics } from '../../core/base/metrics.ts';
import { partitionFor } from '../../core/base/murmur2.ts';
import type { Random } from '../../core/base/random.ts';
import type { Append, Engine, Lease, Membership } from '../../core/engine/engine.ts';
import type { NewRecord } from '../../core/engine/records.ts';
import { appendsOf, MOST_BATCH_BYTES } from './appends.ts';
import { backOffMs } from './back-off.ts';
import type { ConnectorContext, SourceBatch, SourceConnector, SourceReader, SourceReject } from './contract.ts';
import { failureOf } from './failure.ts';
import { sourceLetter } from './letters.ts';
import { frameState, unframeState } from './state-frame.ts';

/*
 * A source holds leases on the topic that it fills (group millstream.<pipeline>.source). The owner of partition 0 reads
 * the outside system; what it appends (to any partition), how many records that were so far (`next`) and where it is
 * outside (`state`) are one commit.
 */

/** Each batch is a commit, which costs about as much as a thousand records. */
const BATCH_RECORDS = 5000;
/** Pause before the system is asked again when there was nothing. */
const IDLE_MS = 500;
const RETRY = { fromMs: 200, toMs: 5000 };

export interface SourceRunPlan {
  pipeline: string;
  /** The topic that it fills. */
  topic: string;
  deadLetterTopic: string;
}

export interface SourceOptions {
  engine: Engine;
  plan: SourceRunPlan;
  connector: SourceConnector;
  /** Output of the connector's schema. */
  config: unknown;
  context: ConnectorContext;
  metrics: Metrics;
  logger: Logger;
  clock: Clock;
  random: Random;
}

export type SourceState = 'running' | 'idle' | 'degraded' | 'finished' | 'stopped';

export interface SourceStatus {
  state: SourceState;
  reason: string | null;
  /** When the state began, milliseconds since the epoch. */
  since: number;
  counts: {
    /** Lines, rows, messages taken since this process started; those not rejected became records. */
    read: number;
    rejected: number;
    retries: number;
  };
  /** Records appended since the pipeline began, in earlier runs too. */
  total: number;
  /** When something was last appended. */
  lastSuccess: number | null;
}

export interface RunningSource {
  status(): SourceStatus;
  /** Resolves when a finite source was read to its end and all of it is committed, or when the source has stopped. */
  finished(): Promise<void>;
  /** What was read is committed, then the source is closed. */
  stop(): Promise<void>;
}

/** Returns at once; what goes wrong is in the status. */
export function startSource(options: SourceOptions): RunningSource {
  const run = new SourceRun(options);
  run.start();
  return { status: () => run.status(), finished: () => run.ended, stop: () => run.stop() };
}

class SourceRun {
  readonly ended: Promise<void>;
  private resolveEnded: () => void = () => {};
  private readonly options: SourceOptions;
  private readonly logger: Logger;
  private readonly counts = { read: 0, rejected: 0, retries: 0 };
  private total = 0;
  private readonly appended: Counter;
  private readonly stopping = new AbortController();
  private readonly running = new Map<Lease, { revoke: AbortController; done: Promise<void> }>();
  private state: SourceState = 'idle';
  private reason: string | null = null;
  private since: number;
  private lastSuccess: number | null = null;
  private started: Promise<void> = Promise.resolve();
  private stopped: Promise<void> | null = null;
  private membership: Membership | null = null;
  private deadPartitions = 1;
  private mostBatchBytes = MOST_BATCH_BYTES;

  constructor(options: SourceOptions) {
    this.options = options;
    this.since = options.clock.now();
    this.logger = options.logger.with({ pipeline: options.plan.pipeline, source: options.connector.type });
    this.ended = new Promise(resolve => {
      this.resolveEnded = resolve;
    });
    this.appended = options.metrics.counter('millstream_source_records_total', 'Records that a source appended', {
      pipeline: options.plan.pipeline,
    });
  }

  start(): void {
    this.started = this.begin();
  }

  status(): SourceStatus {
    const { state, reason, since, lastSuccess } = this;
    return { state, reason, since, counts: { ...this.counts }, total: this.total, lastSuccess };
  }

  stop(): Promise<void> {
    this.stopped ??= this.end(null);
    return this.stopped;
  }

  private async begin(): Promise<void> {
    const { engine, plan } = this.options;
    const { signal } = this.stopping;
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        this.deadPartitions = (await engine.ensureTopic({ name: plan.deadLetterTopic }, signal)).partitions;
        this.membership = await engine.join(
          `millstream.${plan.pipeline}.source`,
          [plan.topic],
          { assigned: async lease => this.assigned(lease), revoked: lease => this.revoked(lease) },
          { signal },
        );
        return;
      } catch (thrown) {
        if (!signal.aborted) await this.pause(thrown, attempt, signal);
      }
    }
  }

  private assigned(lease: Lease): void {
    if (lease.partition !== 0) return;
    const revoke = new AbortController();
    this.running.set(lease, { revoke, done: this.read(lease, revoke.signal) });
  }

  private async revoked(lease: Lease): Promise<void> {
    const running = this.running.get(lease);
    running?.revoke.abort();
    await running?.done;
    this.running.delete(lease);
  }

  private async end(reason: string | null): Promise<void> {
    if (reason !== null) this.say('stopped', reason);
    this.stopping.abort();
    for (const { revoke } of this.running.values()) revoke.abort();
    await this.started;
    await this.membership?.leave().catch(error => this.logger.warn('leaving the group failed', { error }));
    if (this.state !== 'finished') this.say('stopped', reason);
    this.resolveEnded();
  }

  /** Reads and commits until the lease is over; after an error, anew from the last commit. */
  private async read(lease: Lease, revoked: AbortSignal): Promise<void> {
    const { connector, config, context } = this.options;
    const over = AbortSignal.any([revoked, lease.signal]);
    const at: Progress = { next: lease.position?.next ?? 0n, state: null };
    this.total = Math.max(this.total, Number(at.next));
    if (lease.position?.state) {
      const unframed = unframeState(lease.topicId, lease.position.state);
      if (unframed === 'foreign') return this.fail('SOURCE_STATE_CONFLICT', 'the committed state is of another topic');
      at.state = unframed.state;
    }
    for (let attempt = 1; !over.aborted; attempt++) {
      let reader: SourceReader | null = null;
      const before = at.next;
      try {
        reader = await connector.open(config, context, at.state);
        await this.copy(lease, reader, at, over);
        if (reader.finished) {
          this.say('finished', null);
          return this.resolveEnded();
        }
      } catch (thrown) {
        if (asMillstreamError(thrown).kind === 'conflict' || lease.signal.aborted) return;
        const failure = failureOf(thrown);
        if (failure.kind === 'fatal') return this.fail(failure.code, failure.reason);
        if (at.next > before) attempt = 1;
        await this.pause(thrown, attempt, over);
      } finally {
        await reader?.close().catch(error => this.logger.warn('closing the source failed', { error }));
      }
    }
  }

  private async copy(lease: Lease, reader: SourceReader, at: Progress, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      const batch = await reader.poll(BATCH_RECORDS, over);
      if (batch) {
        await this.commit(lease, batch, at);
        this.say('running', null);
      } else if (reader.finished) return;
      else {
        this.say('idle', null);
        await sleep(this.options.clock, IDLE_MS, over);
      }
    }
  }

  private async commit(lease: Lease, batch: SourceBatch, at: Progress): Promise<void> {
    const next = at.next + BigInt(batch.records.length);
    const state = frameState(lease.topicId, batch.state);
    for (;;) {
      const append = [...this.spread(lease, batch.records, at.next), ...this.bury(lease, batch.rejected)];
      try {
        await lease.commit({ next, state, append });
        break;
      } catch (error) {
        // The topic may take smaller batches than most do; a record that is too large alone is for a person to see.
        if (asMillstreamError(error).code !== 'MESSAGE_TOO_LARGE' || this.mostBatchBytes < 1024) throw error;
        this.mostBatchBytes /= 4;
      }
    }
    at.next = next;
    this.total = Math.max(this.total, Number(next));
    at.state = batch.state;
    this.counts.read += batch.records.length + batch.rejected.length;
    this.counts.rejected += batch.rejected.length;
    this.appended.add(batch.records.length);
    for (const { code } of batch.rejected) {
      const labels = { pipeline: this.options.plan.pipeline, step: 'source', code };
      this.options.metrics.counter('millstream_dead_letters_total', 'Dead letters written', labels).add();
    }
    this.lastSuccess = this.options.clock.now();
  }

  /** Records with a key go where Java's client would send them, the others round robin by their number. */
  private spread(lease: Lease, records: readonly NewRecord[], first: bigint): Append[] {
    const count = lease.partitions;
    const lots = Array.from({ length: count }, (): NewRecord[] => []);
    const turn = Number(first % BigInt(count));
    records.forEach((record, i) => {
      const partition = record.key === null ? (turn + i) % count : partitionFor(record.key, count);
      lots[partition]?.push(record);
    });
    return lots.flatMap((lot, partition) => appendsOf(lease.topic, partition, lot, this.mostBatchBytes));
  }

  private bury(lease: Lease, rejected: readonly SourceReject[]): Append[] {
    const { plan, clock } = this.options;
    const letters = rejected.map(each => sourceLetter(plan.pipeline, lease, each, clock.now()));
    return appendsOf(plan.deadLetterTopic, lease.partition % this.deadPartitions, letters);
  }

  private async pause(thrown: unknown, attempt: number, over: AbortSignal): Promise<void> {
    const { clock, random } = this.options;
    const { code, reason, retryAfterMs } = failureOf(thrown);
    this.counts.retries++;
    if (this.state !== 'degraded') this.logger.warn('the source waits', { code, reason });
    this.say('degraded', `${reason} (${code})`);
    await sleep(clock, backOffMs(attempt, RETRY, random, retryAfterMs), over);
  }

  private fail(code: string, reason: string): void {
    this.logger.error('the source stopped', { code, reason });
    this.stopped ??= this.end(`${reason} (${code})`);
  }

  private say(state: SourceState, reason: string | null): void {
    if (state !== this.state) this.since = this.options.clock.now();
    this.state = state;
    this.reason = reason;
  }
}

interface Progress {
  next: bigint;
  state: string | null;
}
