import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { Metrics } from '../../../core/base/metrics.ts';

export const PROMETHEUS_TEXT = 'text/plain; version=0.0.4; charset=utf-8';

/** Reads out ours, then the process's, in Prometheus' text format. To be made once. */
export function prometheusText(metrics: Metrics): () => Promise<string> {
  const ofProcess = new Registry();
  collectDefaultMetrics({ register: ofProcess });
  return async () => metrics.toPrometheus() + (await ofProcess.metrics());
}

/** `GET /metrics` (Prometheus text; ours, then the process's) and `GET /api/v1/metrics` (ours as JSON). */
export function metricsRoutes(app: FastifyInstance, metrics: Metrics): void {
  const text = prometheusText(metrics);
  app.get('/metrics', async (_request, reply) => {
    reply.type(PROMETHEUS_TEXT);
    return text();
  });
  app.get('/api/v1/metrics', async () => ({ metrics: metrics.toJSON() }));
}
