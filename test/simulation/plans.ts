import type { ConnectorPlan, OutputPlan, PipelinePlan, SinkPlan } from '../../etl/definition/plan.ts';
import type { ChainStep, StoredModule } from '../../etl/sandbox/sandbox.ts';
import { PASSTHROUGH, SIFT, SORT } from './sandbox.ts';

/*
 * What runs: in -> one (passthrough, sort) -> mid and odd -> two (sift), which reads mid -> out and rest -> two sinks
 * of `out`: the warehouse and files. Dead letters go to one.dead and two.dead, the latter on to files.
 */

const output = (name: string, topic: string, codec: OutputPlan['codec']): OutputPlan => ({
  name,
  topic,
  partitions: null,
  partitionBy: 'source',
  codec,
  retentionMs: null,
  maxBacklogBytes: 1e9,
});

const step = (name: string, module: StoredModule): ChainStep => ({
  name,
  module,
  config: {},
  onError: 'dead_letter',
  memoryBytes: 32 * 1024 * 1024,
  timeMs: 50,
  initTimeMs: 1000,
  maxFailuresInARow: null,
});

const sink = (name: string, type: string, config: unknown): SinkPlan => ({
  name,
  from: 'default',
  topic: 'out',
  accepts: () => true,
  connector: { type, config },
  batch: { records: 7, bytes: 1e6, lingerMs: 20 },
  retry: { attempts: 5, fromMs: 20, toMs: 100, onExhausted: 'wait' },
  onGap: 'stop',
});

function plan(
  name: string,
  source: string,
  steps: ChainStep[],
  outputs: OutputPlan[],
  sinks: SinkPlan[],
  deadLetter: ConnectorPlan | null,
) {
  const made: PipelinePlan = {
    name,
    file: `${name}.toml`,
    source: { topic: source, start: 'earliest', connector: null },
    steps: steps.map(({ name: stepName, config, onError, memoryBytes, timeMs, maxFailuresInARow, module }) => ({
      name: stepName,
      module: { name: module.name, version: null, sha256: null },
      config,
      secrets: [],
      onError,
      memoryBytes,
      timeMs,
      maxFailuresInARow,
    })),
    outputs,
    sinks,
    deadLetterTopic: `${name}.dead`,
    deadLetter,
    tests: [],
  };
  return { plan: made, steps };
}

export const PLANS = [
  plan(
    'one',
    'in',
    [step('pass', PASSTHROUGH), step('sort', SORT)],
    [output('default', 'mid', 'none'), output('suspect', 'odd', 'zstd')],
    [],
    null,
  ),
  plan(
    'two',
    'mid',
    [step('sift', SIFT)],
    [output('default', 'out', 'none'), output('suspect', 'rest', 'none')],
    [
      sink('warehouse', 'warehouse', {}),
      sink('files', 'file', { path: 'files/rows.ndjson', envelope: true, rotate: { bytes: 4000 } }),
    ],
    { type: 'file', config: { path: 'files/letters/{partition}.ndjson', envelope: false } },
  ),
];
