import type { FastifyInstance } from 'fastify';
import { MillstreamError } from '../../../core/base/errors.ts';
import type { PipelinePlan } from '../../../etl/definition/plan.ts';
import type { ModuleLogs } from '../../../etl/runner/module-logs.ts';
import type { Tap } from '../../../etl/runner/tap.ts';
import type { PipelineStatus } from '../../pipeline-status.ts';

export interface PipelineView {
  readonly name: string;
  readonly plan: PipelinePlan;
  status(): PipelineStatus;
  /** null: a pipeline without steps. */
  readonly tap: Tap | null;
  readonly logs: ModuleLogs | null;
}

/** A tap never sends more than this, whatever flows. */
const MAX_EVENTS_A_SECOND = 20;
const KEEP_ALIVE_MS = 15_000;

/** `GET /api/v1/pipelines`, `GET /api/v1/pipelines/NAME` and its live tap. */
export function pipelineRoutes(app: FastifyInstance, pipelines: () => PipelineView[]): void {
  const find = (name: string): PipelineView => {
    const pipeline = pipelines().find(each => each.name === name);
    if (pipeline) return pipeline;
    const names = pipelines().map(each => each.name);
    throw new MillstreamError('invalid', 'UNKNOWN_PIPELINE', `there is no pipeline \`${name}\``, {
      help: names.length > 0 ? `there are: ${names.join(', ')}` : 'no pipeline is running',
    });
  };

  app.get('/api/v1/pipelines', async () => ({ pipelines: pipelines().map(pipeline => pipeline.status()) }));
  app.get<{ Params: { name: string } }>('/api/v1/pipelines/:name', async request => find(request.params.name).status());

  /** What the modules logged, the newest lines of each step; `?step=NAME` filters. */
  app.get<{ Params: { name: string }; Querystring: { step?: string } }>(
    '/api/v1/pipelines/:name/logs',
    async request => {
      const pipeline = find(request.params.name);
      const { step } = request.query;
      if (step !== undefined) requireStep(pipeline, step);
      const lines = pipeline.logs?.latest(step ?? null) ?? [];
      return { lines: lines.map(each => ({ ...each, at: new Date(each.at).toISOString() })) };
    },
  );

  /** Server-sent events (HTML standard 9.2): one JSON TapEvent a message; `?step=NAME` filters. */
  app.get<{ Params: { name: string }; Querystring: { step?: string } }>(
    '/api/v1/pipelines/:name/tap',
    // An answer to HEAD would have to end, and this one does not.
    { exposeHeadRoute: false },
    async (request, reply) => {
      const pipeline = find(request.params.name);
      const { tap } = pipeline;
      if (!tap) throw new MillstreamError('invalid', 'NO_STEPS', 'this pipeline has no steps to look into');
      const { step } = request.query;
      if (step !== undefined) requireStep(pipeline, step);
      reply.hijack();
      const { raw } = reply;
      raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
      raw.write(': millstream tap\n\n');
      let sent = 0;
      const refill = setInterval(() => (sent = 0), 1000).unref();
      const keepAlive = setInterval(() => raw.write(': still here\n\n'), KEEP_ALIVE_MS).unref();
      const unsubscribe = tap.subscribe(event => {
        if ((step !== undefined && event.step !== step) || ++sent > MAX_EVENTS_A_SECOND || raw.writableNeedDrain)
          return;
        raw.write(`data: ${JSON.stringify(event)}\n\n`);
      });
      raw.on('close', () => {
        unsubscribe();
        clearInterval(refill);
        clearInterval(keepAlive);
      });
    },
  );
}

function requireStep(pipeline: PipelineView, step: string): void {
  const steps = pipeline.status().steps.map(each => each.step);
  if (steps.includes(step)) return;
  throw new MillstreamError('invalid', 'UNKNOWN_STEP', `pipeline \`${pipeline.name}\` has no step \`${step}\``, {
    help: `there are: ${steps.join(', ')}`,
  });
}
