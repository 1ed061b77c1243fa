import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { Metrics } from '../../../core/base/metrics.ts';

/** `GET /metrics` (Prometheus text; ours, then the process's) and `GET /api/v1/metrics` (ours as JSON). */
export function metricsRoutes(app: FastifyInstance, metrics: Metrics): void {
  const ofProcess = new Registry();
  collectDefaultMetrics({ register: ofProcess });
  app.get('/metrics', async (_request, reply) => {
    reply.type('text/plain; version=0.0.4; charset=utf-8');
    return metrics.toPrometheus() + (await ofProcess.metrics());
  });
  app.get('/api/v1/metrics', async () => ({ metrics: metrics.toJSON() }));
}
