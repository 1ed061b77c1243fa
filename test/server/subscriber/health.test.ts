import { expect, test } from 'vitest';
import type { SinkState, SinkStatus } from '../../../connectors/runtime/sink-health.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { metricsReport, SubscriberHealth } from '../../../server/subscriber/health.ts';
import { ManualClock } from '../../core/log/manual-clock.ts';

const statusOf = (state: SinkState, more: Partial<SinkStatus['counts']> = {}): SinkStatus => ({
  state,
  reason: null,
  since: 0,
  counts: { in: 0, written: 0, filtered: 0, rejected: 0, retries: 0, ...more },
  lag: 7,
  lastSuccess: Date.UTC(2026, 0, 2),
});

test.each([
  ['running', 'healthy'],
  ['idle', 'healthy'],
  ['degraded', 'degraded'],
  ['stalled', 'unhealthy'],
  ['stopped', 'unhealthy'],
] as const)('a sink that is %s makes the container %s', (state, status) => {
  expect(new SubscriberHealth(() => statusOf(state), new ManualClock()).report()).toMatchObject({
    status,
    backlog: 7,
    last_successful_insert: '2026-01-02T00:00:00.000Z',
  });
});

test('the error rate is that of the last five minutes', () => {
  const clock = new ManualClock();
  let status = statusOf('running');
  const health = new SubscriberHealth(() => status, clock);
  expect(health.report().error_rate).toBe(0);
  status = statusOf('running', { written: 75, rejected: 25 });
  expect(health.report().error_rate).toBe(0.25);
  clock.advance(11 * 60_000);
  expect(health.report().error_rate).toBe(0.25);
  clock.advance(5 * 60_000);
  expect(health.report().error_rate).toBe(0);
  status = statusOf('running', { written: 75, rejected: 35 });
  expect(health.report().error_rate).toBe(1);
});

test('rows that wait while nothing is taken show as degraded, also when no try has failed yet', () => {
  const clock = new ManualClock();
  const started = clock.now();
  let status: SinkStatus = { ...statusOf('running'), since: started, lastSuccess: null };
  const health = new SubscriberHealth(() => status, clock);
  clock.advance(59_000);
  expect(health.report()).toMatchObject({ status: 'healthy', reason: null });
  clock.advance(2000);
  const reason = 'BigQuery has taken no rows for 61 seconds, and 7 records wait';
  expect(health.report()).toMatchObject({ status: 'degraded', reason });
  status = { ...status, lastSuccess: clock.now() };
  expect(health.report()).toMatchObject({ status: 'healthy', reason: null });
  clock.advance(61_000);
  status = { ...status, state: 'idle', lag: 0 };
  expect(health.report().status).toBe('healthy');
});

test('many refused rows show as degraded until the five minutes are over', () => {
  const clock = new ManualClock();
  let status = statusOf('idle', { rejected: 9 });
  const health = new SubscriberHealth(() => status, clock);
  expect(health.report()).toMatchObject({ status: 'healthy', error_rate: 1 });
  status = statusOf('idle', { rejected: 10, written: 10 });
  expect(health.report()).toMatchObject({ status: 'degraded', error_rate: 0.5 });
  expect(health.report().reason).toMatch('10 rows were refused');
  status = statusOf('idle', { rejected: 10, written: 11 });
  expect(health.report().status).toBe('healthy');
  status = statusOf('idle', { rejected: 20, written: 11 });
  expect(health.report().status).toBe('degraded');
  clock.advance(5 * 60_000);
  health.report();
  clock.advance(5 * 60_000);
  expect(health.report().status).toBe('healthy');
});

test('latencies are upper bounds of their buckets', () => {
  const metrics = new Metrics();
  const seconds = metrics.histogram('millstream_sink_batch_seconds', 'help', { sink: 's' });
  for (let n = 0; n < 98; n++) seconds.observe(0.004);
  seconds.observe(0.2);
  seconds.observe(100);
  expect(
    metricsReport(statusOf('running', { in: 12, written: 9, filtered: 1, rejected: 2, retries: 3 }), metrics),
  ).toEqual({
    messages_received: 12,
    messages_processed: 10,
    messages_failed: 2,
    retries: 3,
    batches: 100,
    insert_latency_ms: { count: 100, avg: 1005.92, p50: 5, p95: 5, p99: 250 },
  });
});
