import type { SinkStatus } from '../../connectors/runtime/sink-health.ts';
import type { Clock } from '../../core/base/clock.ts';
import type { Metrics } from '../../core/base/metrics.ts';

/** What the container says about itself (spec/surface.md 4). */

/** `error_rate` is taken over this time. */
const WINDOW_MS = 5 * 60_000;
const LOOKS = 30;
/** Rows that wait while BigQuery takes none for so long are no health. */
const SILENCE_MS = 60_000;
/** Nor is it when at least half of at least so many rows were refused within the window. */
const MANY_REFUSED = 10;

export interface HealthReport {
  status: 'healthy' | 'degraded' | 'unhealthy';
  reason: string | null;
  /** ISO 8601; null: none yet. */
  last_successful_insert: string | null;
  /** Records between the committed positions and the ends of the partitions held. */
  backlog: number;
  /** Refused rows per row that BigQuery judged, over the last five minutes. */
  error_rate: number;
  messages_received: number;
  uptime_seconds: number;
}

interface Look {
  at: number;
  written: number;
  rejected: number;
}

export class SubscriberHealth {
  private readonly status: () => SinkStatus;
  private readonly clock: Clock;
  private readonly startedAt: number;
  private looks: Look[];

  constructor(status: () => SinkStatus, clock: Clock) {
    this.status = status;
    this.clock = clock;
    this.startedAt = clock.monotonic();
    this.looks = [{ at: this.startedAt, written: 0, rejected: 0 }];
  }

  report(): HealthReport {
    const { state, reason, since, counts, lag, lastSuccess } = this.status();
    const working = state === 'running' || state === 'idle';
    const { refused, rate } = this.refusals(counts);
    const silence = state === 'running' ? this.clock.now() - Math.max(since, lastSuccess ?? 0) : 0;
    const trouble =
      silence >= SILENCE_MS
        ? `BigQuery has taken no rows for ${Math.round(silence / 1000)} seconds, and ${lag} records wait`
        : refused >= MANY_REFUSED && rate >= 0.5
          ? `${refused} rows were refused within five minutes; the dead letters say why`
          : null;
    return {
      status: working ? (trouble === null ? 'healthy' : 'degraded') : state === 'degraded' ? 'degraded' : 'unhealthy',
      reason: reason ?? trouble,
      last_successful_insert: lastSuccess === null ? null : new Date(lastSuccess).toISOString(),
      backlog: lag,
      error_rate: rate,
      messages_received: counts.in,
      uptime_seconds: Math.round((this.clock.monotonic() - this.startedAt) / 1000),
    };
  }

  private refusals({ written, rejected }: { written: number; rejected: number }): { refused: number; rate: number } {
    const at = this.clock.monotonic();
    const last = this.looks.at(-1);
    if (!last || at - last.at >= WINDOW_MS / LOOKS) this.looks.push({ at, written, rejected });
    // The newest look that is old enough is where the window begins.
    while (this.looks.length > 1 && at - (this.looks[1] as Look).at >= WINDOW_MS) this.looks.shift();
    const [from] = this.looks as [Look];
    const refused = rejected - from.rejected;
    const judged = written - from.written + refused;
    return { refused, rate: judged === 0 ? 0 : refused / judged };
  }
}

export interface SubscriberMetrics {
  messages_received: number;
  messages_processed: number;
  messages_failed: number;
  retries: number;
  batches: number;
  /** Milliseconds a batch, retries included; quantiles are upper bounds of the histogram's buckets. */
  insert_latency_ms: { count: number; avg: number; p50: number; p95: number; p99: number };
}

export function metricsReport({ counts }: SinkStatus, metrics: Metrics): SubscriberMetrics {
  const seconds = metrics.toJSON().find(each => each.name === 'millstream_sink_batch_seconds');
  const count = seconds?.count ?? 0;
  const at = (share: number): number => milliseconds(quantile(seconds?.buckets ?? [], count * share));
  return {
    messages_received: counts.in,
    messages_processed: counts.written + counts.filtered,
    messages_failed: counts.rejected,
    retries: counts.retries,
    batches: count,
    insert_latency_ms: {
      count,
      avg: count === 0 ? 0 : milliseconds((seconds?.value ?? 0) / count),
      p50: at(0.5),
      p95: at(0.95),
      p99: at(0.99),
    },
  };
}

/** Upper bound of the bucket that holds the n-th value; the last finite bound for what lies above all. */
function quantile(buckets: readonly { le: number | null; count: number }[], n: number): number {
  let seen = 0;
  let bound = 0;
  for (const { le, count } of buckets) {
    seen += count;
    bound = le ?? bound;
    if (seen >= n && seen > 0) return bound;
  }
  return 0;
}

const milliseconds = (seconds: number): number => Math.round(seconds * 1e6) / 1000;
