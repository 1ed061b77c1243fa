import fastify, { type FastifyInstance } from 'fastify';
import { MillstreamError } from '../../../core/base/errors.ts';
import type { Metrics } from '../../../core/base/metrics.ts';
import type { EngineHost } from '../../../core/engine/host.ts';
import { elsewhereRoutes } from './elsewhere.ts';
import { answerOtherMethods } from './methods.ts';
import { lineageRoutes } from './lineage.ts';
import { metricsRoutes } from './metrics.ts';
import { type ModuleRoutesOptions, moduleRoutes } from './modules.ts';
import { pageRoutes } from './page.ts';
import { type PipelineView, pipelineRoutes } from './pipelines.ts';
import { refuseUnreadable, sendProblem } from './problem.ts';
import { recordRoutes, type RecordRoutesOptions } from './records.ts';

export interface HttpServerOptions
  extends Partial<Pick<ModuleRoutesOptions, 'modules'>>,
    Omit<RecordRoutesOptions, 'engineHost'> {
  /** The broker in this process; null: topics live elsewhere. */
  engineHost: EngineHost | null;
  host: string;
  port: number;
  metrics: Metrics;
  version: string;
  /** A request that has not arrived whole after this time is refused. */
  requestTimeoutMs: number;
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

/** Bodies are as big as the biggest records that make sense over HTTP: a batch of the usual size as base64 in JSON. */
const LEAST_BODY_LIMIT = 16 * 1024 * 1024;

/** The admin and data API over HTTP, and the page at `/`. Rejects with the system's error when the port is taken. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { requestTimeoutMs } = options;
  const app: FastifyInstance = fastify({
    bodyLimit: Math.max(LEAST_BODY_LIMIT, 2 * options.maxBatchBytes),
    forceCloseConnections: true,
    requestTimeout: requestTimeoutMs,
    http: { headersTimeout: requestTimeoutMs, connectionsCheckingInterval: Math.min(30_000, requestTimeoutMs) },
    // A path that cannot be decoded is no server error.
    frameworkErrors: (error, _request, reply) => void sendProblem(reply, error),
    clientErrorHandler: (error, socket) => refuseUnreadable(error, socket),
  });
  // Bodies are read by the routes, which know what they expect and can say what is wrong with it.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.setErrorHandler((error, _request, reply) => sendProblem(reply, error));
  app.addHook('onRequest', async request => {
    refuseForeignPages(request.method, request.headers.origin, request.headers.host);
  });
  answerOtherMethods(app);

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
  pipelineRoutes(app, options.pipelines);
  if (options.modules) moduleRoutes(app, { modules: options.modules, pipelines: options.pipelines });
  const { engineHost, clock } = options;
  if (engineHost) {
    recordRoutes(app, { ...options, engineHost });
    lineageRoutes(app, { engineHost, clock, plans: () => options.pipelines().map(({ plan }) => plan) });
  } else elsewhereRoutes(app);
  pageRoutes(app);

  await app.listen({ host: options.host, port: options.port });
  const address = app.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    close: () => app.close(),
  };
}

/** A web page of somebody else, open in a browser on this machine, must not write into topics. */
function refuseForeignPages(method: string, origin: string | undefined, host: string | undefined): void {
  if (origin === undefined || ['GET', 'HEAD', 'OPTIONS'].includes(method)) return;
  if (URL.canParse(origin) && new URL(origin).host === host) return;
  throw new MillstreamError('invalid', 'FOREIGN_ORIGIN', `pages of ${origin} may not write here`);
}
