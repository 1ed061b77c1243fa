import type { FastifyInstance } from 'fastify';
import type { Clock } from '../../../core/base/clock.ts';
import { MillstreamError } from '../../../core/base/errors.ts';
import type { EngineHost } from '../../../core/engine/host.ts';
import type { PipelinePlan } from '../../../etl/definition/plan.ts';
import { audit } from '../../lineage/audit.ts';
import { trace } from '../../lineage/trace.ts';

export interface LineageRoutesOptions {
  engineHost: EngineHost;
  clock: Clock;
  /** Those that run. */
  plans: () => PipelinePlan[];
}

/** `GET /api/v1/trace/TOPIC/PARTITION/OFFSET` and `GET /api/v1/pipelines/NAME/audit`. */
export function lineageRoutes(app: FastifyInstance, { engineHost, clock, plans }: LineageRoutesOptions): void {
  app.get<{ Params: { topic: string; partition: string; offset: string } }>(
    '/api/v1/trace/:topic/:partition/:offset',
    async ({ params }) => {
      const place = {
        topic: params.topic,
        partition: wholeNumber(params.partition),
        offset: wholeNumber(params.offset),
      };
      return trace(engineHost, plans(), place);
    },
  );

  app.get<{ Params: { name: string } }>('/api/v1/pipelines/:name/audit', async ({ params }) => {
    const plan = plans().find(({ name }) => name === params.name);
    if (plan) return audit(engineHost, plan, clock.now());
    const names = plans().map(({ name }) => name);
    throw new MillstreamError('invalid', 'UNKNOWN_PIPELINE', `there is no pipeline \`${params.name}\``, {
      help: names.length > 0 ? `there are: ${names.join(', ')}` : 'no pipeline is running',
    });
  });
}

function wholeNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new MillstreamError(
    'invalid',
    'INVALID_PLACE',
    `a partition and an offset are whole numbers, not "${text.slice(0, 40)}"`,
  );
}
