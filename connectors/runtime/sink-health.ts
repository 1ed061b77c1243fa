import type { Clock } from '../../core/base/clock.ts';
import type { Counter, Histogram, Metrics } from '../../core/base/metrics.ts';
import type { Rejected } from './deliver.ts';
import type { Trouble } from './lane.ts';

/**
 * `degraded`: something outside refuses, tries go on. `stalled`: at least one partition does not move and needs a
 * person, or goes on failing beyond `retry.attempts`. `stopped`: nothing is read any more.
 */
export type SinkState = 'running' | 'idle' | 'degraded' | 'stalled' | 'stopped';

export interface SinkCounts {
  /** Records read. Those that are neither written, filtered nor rejected are under way. */
  in: number;
  written: number;
  filtered: number;
  rejected: number;
  retries: number;
}

export interface SinkStatus {
  state: SinkState;
  reason: string | null;
  /** When the state began, milliseconds since the epoch. */
  since: number;
  counts: SinkCounts;
  /** Records between the committed positions and the ends of the partitions held. */
  lag: number;
  /** When the system last accepted a batch. */
  lastSuccess: number | null;
}

interface Gauge {
  lag: number;
  oldest: number | null;
  busy: boolean;
}

/** Counts and states of one sink, as its status and as metrics. */
export class SinkHealth {
  private readonly labels: { pipeline: string; sink: string };
  private readonly buries: boolean;
  private readonly metrics: Metrics;
  private readonly clock: Clock;
  private readonly gauge: () => Gauge;
  private readonly counts: SinkCounts = { in: 0, written: 0, filtered: 0, rejected: 0, retries: 0 };
  private readonly troubles = new Map<unknown, Trouble>();
  private readonly seconds: Histogram;
  private readonly results: Record<'written' | 'filtered' | 'rejected', Counter>;
  private lastSuccess: number | null = null;
  private end: { reason: string | null } | null = null;
  private last: { state: SinkState; since: number };

  constructor(
    plan: { pipeline: string; name: string; deadLetterTopic: string | null },
    metrics: Metrics,
    clock: Clock,
    gauge: () => Gauge,
  ) {
    this.buries = plan.deadLetterTopic !== null;
    this.labels = { pipeline: plan.pipeline, sink: plan.name };
    this.metrics = metrics;
    this.clock = clock;
    this.gauge = gauge;
    this.last = { state: 'idle', since: clock.now() };
    const result = (name: string): Counter =>
      metrics.counter('millstream_sink_records_total', 'Records that a sink is done with, by result', {
        ...this.labels,
        result: name,
      });
    this.results = { written: result('written'), filtered: result('filtered'), rejected: result('rejected') };
    this.seconds = metrics.histogram('millstream_sink_batch_seconds', 'Time to write one batch, retries included', {
      ...this.labels,
    });
    const lag = metrics.gauge('millstream_sink_lag_records', 'Records that a sink has not written yet', this.labels);
    const lagSeconds = metrics.gauge(
      'millstream_sink_lag_seconds',
      'Age of the oldest record that a sink has read and not written yet',
      this.labels,
    );
    metrics.beforeRead(() => {
      if (this.end) return;
      const now = gauge();
      lag.set(now.lag);
      lagSeconds.set(now.oldest === null ? 0 : Math.max(0, clock.now() - now.oldest) / 1000);
    });
  }

  read(records: number): void {
    this.counts.in += records;
    if (this.last.state === 'idle') this.refresh();
  }

  retried(kind: string): void {
    this.counts.retries++;
    this.metrics
      .counter('millstream_sink_retries_total', 'Writes that were tried again', { ...this.labels, kind })
      .add();
  }

  wrote(seconds: number): void {
    this.seconds.observe(seconds);
    this.lastSuccess = this.clock.now();
  }

  committed({
    written,
    filtered,
    rejected,
  }: {
    written: number;
    filtered: number;
    rejected: readonly Rejected[];
  }): void {
    this.counts.written += written;
    this.counts.filtered += filtered;
    this.counts.rejected += rejected.length;
    this.results.written.add(written);
    this.results.filtered.add(filtered);
    this.results.rejected.add(rejected.length);
    for (const { code } of this.buries ? rejected : []) {
      const labels = { pipeline: this.labels.pipeline, step: this.labels.sink, code };
      this.metrics.counter('millstream_dead_letters_total', 'Dead letters written', labels).add();
    }
    this.refresh();
  }

  /** null: that trouble is over. */
  trouble(of: unknown, trouble: Trouble | null): void {
    if (trouble) this.troubles.set(of, trouble);
    else this.troubles.delete(of);
    this.refresh();
  }

  /** What stops the sink shows at once, while it still lets go of its partitions. */
  stopping(reason: string): void {
    this.end = { reason };
    this.refresh();
  }

  stopped(reason: string | null): void {
    this.end = { reason };
    this.refresh();
  }

  status(): SinkStatus {
    const { reason, lag } = this.refresh();
    const { state, since } = this.last;
    return { state, reason, since, counts: { ...this.counts }, lag, lastSuccess: this.lastSuccess };
  }

  private refresh(): { reason: string | null; lag: number } {
    const { lag, busy } = this.gauge();
    const troubles = [...this.troubles.values()];
    const worst = troubles.find(trouble => trouble.state === 'stalled') ?? troubles[0];
    const state = this.end ? 'stopped' : (worst?.state ?? (busy || lag > 0 ? 'running' : 'idle'));
    if (state !== this.last.state) this.last = { state, since: this.clock.now() };
    return { reason: this.end ? this.end.reason : (worst?.reason ?? null), lag };
  }
}
