import fastify from 'fastify';
import type { Metrics } from '../../core/base/metrics.ts';
import { PROMETHEUS_TEXT, prometheusText } from '../api/http/metrics.ts';
import { sendProblem } from '../api/http/problem.ts';
import type { HealthReport, SubscriberMetrics } from './health.ts';

export interface SubscriberHttpOptions {
  host: string;
  port: number;
  metrics: Metrics;
  health(): HealthReport;
  report(): SubscriberMetrics;
}

export interface SubscriberHttp {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * `GET /health` (503 when unhealthy) and `GET /metrics`: JSON, or Prometheus text for who asks for text/plain. Rejects
 * with the system's error when the port is taken.
 */
export async function startSubscriberHttp(options: SubscriberHttpOptions): Promise<SubscriberHttp> {
  const app = fastify({ forceCloseConnections: true, requestTimeout: 10_000 });
  app.setErrorHandler((error, _request, reply) => sendProblem(reply, error));
  const text = prometheusText(options.metrics);
  app.get('/health', async (_request, reply) => {
    const report = options.health();
    reply.code(report.status === 'unhealthy' ? 503 : 200);
    return report;
  });
  app.get('/metrics', async (request, reply) => {
    if (!wantsText(request.headers.accept)) return options.report();
    reply.type(PROMETHEUS_TEXT);
    return text();
  });
  await app.listen({ host: options.host, port: options.port });
  const address = app.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    close: () => app.close(),
  };
}

/** Prometheus asks for its text formats, and for anything else only in the last place. */
const wantsText = (accept: string | undefined): boolean =>
  accept !== undefined && /text\/plain|openmetrics/.test(accept) && !accept.trim().startsWith('application/json');
