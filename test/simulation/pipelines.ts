import { Metrics } from '../../core/base/metrics.ts';
import type { Random } from '../../core/base/random.ts';
import { fileSink } from '../../connectors/file/sink.ts';
import type { SinkConnector } from '../../connectors/runtime/contract.ts';
import { Pipeline } from '../../server/pipeline.ts';
import type { Life } from './life.ts';
import { PLANS } from './plans.ts';
import { inProcessSandbox } from './sandbox.ts';
import { type Warehouse, type WarehouseCounts, warehouseSink } from './warehouse.ts';

export interface PipelineWorld {
  random: Random;
  warehouse: Warehouse;
  figures: WarehouseCounts;
  failed: (error: unknown) => void;
}

/** The pipelines of one life, as the server makes them; not started. */
export function pipelinesIn(life: Life, { random, warehouse, figures, failed }: PipelineWorld): Pipeline[] {
  const sandbox = inProcessSandbox(life, random);
  const sinkTypes = new Map<string, SinkConnector>([
    ['warehouse', warehouseSink(warehouse, life, random, figures, failed)],
    ['file', fileSink()],
  ]);
  return PLANS.map(
    ({ plan, steps }) =>
      new Pipeline({
        plan,
        steps,
        engine: life.engine,
        sandbox,
        sinkTypes,
        sourceTypes: new Map(),
        taskRecords: 10,
        baseDirectory: '/data',
        clock: life.clock,
        random,
        disk: life.disk,
        logger: life.logger,
        metrics: new Metrics(),
        stored: () => 0,
      }),
  );
}

/** Every pipeline has read something, and every sink was given rows. */
export function haveBegun(pipelines: readonly Pipeline[]): boolean {
  const statuses = pipelines.map(pipeline => pipeline.status());
  return statuses.length > 0 && statuses.every(({ records, sinks }) => records > 0 && sinks.every(sink => sink.in > 0));
}

/** Nothing lags: no pipeline, no sink, no drain of dead letters. */
export function areDone(pipelines: readonly Pipeline[]): boolean {
  return pipelines
    .map(pipeline => pipeline.status())
    .every(({ lag, sinks, deadLetters }) =>
      [...sinks, ...(deadLetters.drain ? [deadLetters.drain] : [])].every(sink => lag + sink.lag === 0),
    );
}
