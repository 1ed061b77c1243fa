import { type Clock, sleep } from '../../core/base/clock.ts';
import type { Logger } from '../../core/base/logger.ts';
import type { Metrics } from '../../core/base/metrics.ts';
import type { Random } from '../../core/base/random.ts';
import type { Append, Engine, Lease, Membership } from '../../core/engine/engine.ts';
import type { LogRecord } from '../../core/engine/records.ts';
import { appendsOf } from './appends.ts';
import { sinkLetter } from './letters.ts';
import { backOffMs } from './back-off.ts';
import type { BatchLimits } from './batcher.ts';
import type { ConnectorContext, Sink, SinkConnector } from './contract.ts';
import type { Rejected, RetryPlan } from './deliver.ts';
import { failureOf } from './failure.ts';
import type { LaneEvents, LaneOptions } from './lane.ts';
import { PartitionLane } from './partition-lane.ts';
import { Replays } from './replays.ts';
import { SinkHealth, type SinkStatus } from './sink-health.ts';

/** Rows in memory for one sink, over all its partitions. */
const MEMORY_BYTES = 32 * 1024 * 1024;
/** Every partition may hold this much, however many there are. */
const LEAST_SHARE_BYTES = 1024 * 1024;

export interface SinkRunPlan {
  pipeline: string;
  name: string;
  topic: string;
  /** Dead letters that are to be tried again by this sink alone; read like `topic` once it is there, but `accepts` is
   * not asked again. Left out: none. */
  replayTopic?: string;
  /** null: `keepRefused` has them. */
  deadLetterTopic: string | null;
  /** Where refused rows go when there is no topic for them. Resolves when they are kept, before the position moves past
   * them; asked again with the same rows after an error. Left out: an error in the log for each. */
  keepRefused?: (lease: Lease, rejected: readonly Rejected[]) => Promise<void>;
  accepts: (record: LogRecord) => boolean;
  batch: BatchLimits;
  retry: RetryPlan;
  onGap: 'stop' | 'skip';
  /** Batches under way at a time, within what the connector allows; left out: all of that. */
  maxInFlight?: number;
  /** Where a partition without a position begins; left out: earliest. */
  start?: 'earliest' | 'latest';
}

export interface SinkOptions {
  engine: Engine;
  plan: SinkRunPlan;
  connector: SinkConnector;
  /** Output of the connector's schema. */
  config: unknown;
  context: ConnectorContext;
  metrics: Metrics;
  logger: Logger;
  clock: Clock;
  random: Random;
}

export interface RunningSink {
  status(): SinkStatus;
  /** No new reads; what was read is written and committed (for at most ten seconds), then the sink is closed. */
  stop(): Promise<void>;
}

/** Runs a sink as the group `millstream.<pipeline>.<name>`. Returns at once; what goes wrong is in its status. */
export function startSink(options: SinkOptions): RunningSink {
  const run = new SinkRun(options);
  run.start();
  return { status: () => run.status(), stop: () => run.stop() };
}

interface Holding {
  lane: PartitionLane;
  lease: Lease;
  ended: Promise<void>;
}

class SinkRun {
  private readonly options: SinkOptions;
  private readonly health: SinkHealth;
  private readonly logger: Logger;
  private readonly stopping = new AbortController();
  private readonly holdings = new Map<Lease, Holding>();
  private readonly replays = new Replays();
  private started: Promise<void> = Promise.resolve();
  private stopped: Promise<void> | null = null;
  private sink: Sink | null = null;
  private membership: Membership | null = null;
  private deadPartitions = 1;

  constructor(options: SinkOptions) {
    this.options = options;
    const { pipeline, name } = options.plan;
    this.logger = options.logger.with({ pipeline, sink: name });
    this.health = new SinkHealth(options.plan, options.metrics, options.clock, () => this.gauge());
  }

  start(): void {
    this.started = this.begin();
  }

  status(): SinkStatus {
    return this.health.status();
  }

  stop(): Promise<void> {
    this.stopped ??= this.end(null);
    return this.stopped;
  }

  /** Opens the connector and joins the group, again and again until it works. */
  private async begin(): Promise<void> {
    const { engine, plan, connector, config, context, clock, random } = this.options;
    const { signal } = this.stopping;
    const topics = plan.replayTopic === undefined ? [plan.topic] : [plan.topic, plan.replayTopic];
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        this.sink ??= await connector.open(config, context);
        if (plan.deadLetterTopic !== null) {
          this.deadPartitions = (await engine.ensureTopic({ name: plan.deadLetterTopic }, signal)).partitions;
        }
        this.membership = await engine.join(
          `millstream.${plan.pipeline}.${plan.name}`,
          topics,
          { assigned: lease => this.assigned(lease), revoked: lease => this.revoked(lease) },
          { start: plan.start ?? 'earliest', exclusive: connector.caps(config).exclusive ?? false, signal },
        );
        return this.health.trouble('open', null);
      } catch (thrown) {
        if (signal.aborted) return;
        const failure = failureOf(thrown);
        this.logger.warn('the sink does not open', { error: thrown });
        if (failure.kind === 'fatal') return this.fail(failure.code, failure.reason);
        this.health.trouble('open', { state: 'degraded', reason: `${failure.reason} (${failure.code})` });
        await sleep(clock, backOffMs(attempt, plan.retry, random, failure.retryAfterMs), signal);
      }
    }
  }

  private async assigned(lease: Lease): Promise<void> {
    const lane = new PartitionLane(this.sink as Sink, this.laneOptions(lease));
    const ended = lane.run().then(end => {
      if (end.how === 'stalled') {
        this.logger.error('a partition of the sink stands still', { partition: lease.partition, reason: end.reason });
        this.health.trouble(lease, { state: 'stalled', reason: end.reason });
      } else if (end.how === 'stopped') this.fail(end.code, end.reason);
    });
    this.holdings.set(lease, { lane, lease, ended });
  }

  private async revoked(lease: Lease): Promise<void> {
    const holding = this.holdings.get(lease);
    holding?.lane.drain();
    await holding?.ended;
    this.holdings.delete(lease);
    this.health.trouble(lease, null);
  }

  private fail(code: string, reason: string): void {
    this.logger.error('the sink stopped', { code, reason });
    this.stopped ??= this.end(`${reason} (${code})`);
  }

  private async end(reason: string | null): Promise<void> {
    if (reason !== null) this.health.stopping(reason);
    this.stopping.abort();
    for (const { lane } of this.holdings.values()) lane.drain();
    await this.started;
    await this.membership?.leave().catch(error => this.logger.warn('leaving the group failed', { error }));
    await this.sink?.close().catch(error => this.logger.warn('closing the sink failed', { error }));
    this.health.stopped(reason);
  }

  private laneOptions(lease: Lease): LaneOptions {
    const { plan, connector, config, clock, random } = this.options;
    const caps = connector.caps(config);
    return {
      lease,
      exactlyOnce: caps.guarantee === 'exactly-once',
      commitsEach: caps.commitsEach ?? false,
      joins: caps.joins,
      maxInFlight: caps.commitsEach ? 1 : Math.min(caps.maxInFlight, plan.maxInFlight ?? caps.maxInFlight),
      lasts: topic => topic !== plan.replayTopic,
      limits: {
        records: Math.max(1, Math.min(plan.batch.records, caps.maxRows)),
        bytes: Math.min(plan.batch.bytes, caps.maxBytes),
        lingerMs: plan.batch.lingerMs,
      },
      retry: plan.retry,
      onGap: plan.onGap,
      ...(lease.topic === plan.replayTopic
        ? { accepts: () => true, open: record => this.replays.open(record) }
        : { accepts: plan.accepts }),
      clock,
      random,
      share: () => Math.max(LEAST_SHARE_BYTES, MEMORY_BYTES / Math.max(1, this.holdings.size)),
      bury: (from, rejected, mostBytes) => this.bury(from, rejected, mostBytes),
      on: this.laneEvents(lease),
    };
  }

  private laneEvents(lease: Lease): LaneEvents {
    const { health, logger } = this;
    return {
      read: records => health.read(records),
      retried: kind => health.retried(kind),
      trouble: trouble => health.trouble(lease, trouble),
      wrote: seconds => health.wrote(seconds),
      committed: done => health.committed(done),
      skipped: reason => logger.error('the sink went on behind a gap', { reason }),
    };
  }

  private async bury(lease: Lease, rejected: readonly Rejected[], mostBytes: number | null): Promise<Append[]> {
    const { plan, clock } = this.options;
    if (rejected.length === 0) return [];
    if (plan.deadLetterTopic === null) {
      await (plan.keepRefused ?? this.logRefused)(lease, rejected);
      return [];
    }
    const topic = plan.deadLetterTopic;
    const letters = rejected.map(each => {
      const replay = this.replays.of(each.record);
      const partition = (replay?.letter.partition ?? lease.partition) % this.deadPartitions;
      return { partition, record: sinkLetter(plan, lease, each, clock.now(), mostBytes, replay) };
    });
    return Array.from(Map.groupBy(letters, one => one.partition)).flatMap(([partition, own]) =>
      appendsOf(
        topic,
        partition,
        own.map(one => one.record),
      ),
    );
  }

  private readonly logRefused = async ({ partition }: Lease, rejected: readonly Rejected[]): Promise<void> => {
    for (const { record, code, reason } of rejected) {
      this.logger.error('a record was refused and left out', { partition, offset: record.offset, code, reason });
    }
  };

  private gauge(): { lag: number; oldest: number | null; busy: boolean } {
    let lag = 0;
    let oldest: number | null = null;
    let busy = false;
    for (const { lane, lease } of this.holdings.values()) {
      lag += Number(lease.lag(lane.next));
      busy ||= lane.isBusy;
      const waits = lane.oldest;
      if (waits !== null && (oldest === null || waits < oldest)) oldest = waits;
    }
    return { lag, oldest, busy };
  }
}
