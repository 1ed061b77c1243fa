import fastify, { type FastifyInstance } from 'fastify';
import type { Clock } from '../../../core/base/clock.ts';
import { MillstreamError } from '../../../core/base/errors.ts';
import type { Metrics } from '../../../core/base/metrics.ts';
import type { EngineHost } from '../../../core/engine/host.ts';
import { metricsRoutes } from './metrics.ts';
import { pageRoutes } from './page.ts';
import { type PipelineView, pipelineRoutes } from './pipelines.ts';
import { sendProblem } from './problem.ts';
import { recordRoutes } from './records.ts';

export interface HttpServerOptions {
  host: string;
  port: number;
  engineHost: EngineHost;
  clock: Clock;
  metrics: Metrics;
  version: string;
  /** Largest batch that a POST of records may make. */
  maxBatchBytes: number;
  pipelines: () => PipelineView[];
  /** Names of what is not ready yet; empty: ready. */
  waitingFor(): string[];
  /** One sentence when the process is alive but cannot work (storage failed); null: healthy. */
  unhealthy(): string | null;
}

export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Bodies are as big as the biggest records that make sense over HTTP. */
const BODY_LIMIT = 16 * 1024 * 1024;

/** The admin and data API over HTTP, and the page at `/`. Rejects with the system's error when the port is taken. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const app: FastifyInstance = fastify({ bodyLimit: BODY_LIMIT, forceCloseConnections: true });
  app.removeContentTypeParser('text/plain');
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.setErrorHandler((error, _request, reply) => sendProblem(reply, error));
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      reply,
      new MillstreamError('invalid', 'NOT_FOUND', `there is nothing at ${request.method} ${request.url}`),
    ),
  );

  app.get('/health', async (_request, reply) => {
    const reason = options.unhealthy();
    reply.code(reason === null ? 200 : 503);
    return { status: reason === null ? 'healthy' : 'unhealthy', reason, version: options.version };
  });
  app.get('/ready', async (_request, reply) => {
    const waitingFor = options.waitingFor();
    reply.code(waitingFor.length === 0 ? 200 : 503);
    return { ready: waitingFor.length === 0, waiting_for: waitingFor };
  });
  metricsRoutes(app, options.metrics);
  recordRoutes(app, options.engineHost, options.clock, options.maxBatchBytes);
  pipelineRoutes(app, options.pipelines);
  pageRoutes(app);

  await app.listen({ host: options.host, port: options.port });
  const address = app.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    close: () => app.close(),
  };
}
