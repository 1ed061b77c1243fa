import type { Codec, LogRecord } from '../../core/engine/records.ts';
import type { LookBack } from '../abi/guest.ts';
import type { OnError } from '../sandbox/sandbox.ts';

/*
 * A pipeline file, read, checked and with its defaults filled in: what the runner, the sinks and the tests work from.
 */

export interface PipelinePlan {
  name: string;
  /** The TOML file, absolute. */
  file: string;
  source: SourcePlan;
  steps: StepPlan[];
  /** The first is "default". Without steps there is one, which is the source topic itself. */
  outputs: OutputPlan[];
  sinks: SinkPlan[];
  /** `<name>.dead`. */
  deadLetterTopic: string;
  /** Where dead letters are drained to; null: they stay in their topic. */
  deadLetter: ConnectorPlan | null;
  tests: TestPlan[];
}

/** Dead letters carry the timestamps of their records, however old: time alone must not remove them. */
export function deadLetterSpec(topic: string, partitions: number) {
  return { name: topic, partitions, configs: { 'retention.ms': '-1' } };
}

/** The changelog of what a pipeline's steps keep, of each key the newest: small segments, so that little of it has to be
 * read that is not the newest. */
export function stateSpec(pipeline: string, partitions: number) {
  const configs = { 'cleanup.policy': 'compact', 'segment.bytes': String(8 * 2 ** 20) };
  return { name: `${pipeline}.state`, partitions, configs };
}

export interface SourcePlan {
  topic: string;
  start: 'earliest' | 'latest';
  /** null: producers fill the topic. */
  connector: ConnectorPlan | null;
}

export interface ConnectorPlan {
  /** The connector's TOML key. */
  type: string;
  /** Checked against the connector's schema, defaults filled in. */
  config: unknown;
}

export interface StepPlan {
  name: string;
  module: { name: string; version: string | null; sha256: string | null };
  config: unknown;
  /** Values of the config that are shown nowhere. */
  secrets: readonly string[];
  onError: OnError;
  memoryBytes: number;
  timeMs: number;
  /** WebAssembly instructions for one record; left out: they are not counted. */
  fuel?: number;
  maxFailuresInARow: number | null;
  /** What its state may hold for one partition, if its module keeps any; left out: 64 MiB. */
  stateBytes?: number;
  /** A partition without records for so long goes on by the clock, if its module sets timers; left out: 10 s. */
  idleMs?: number;
  /** Left out: the module is shown nothing of the past. */
  lookBack?: LookBack;
  /** Another module that is tried beside it. */
  shadow?: { module: StepPlan['module']; sample: number };
}

export interface OutputPlan {
  name: string;
  topic: string;
  /** null: as many as the source topic has. */
  partitions: number | null;
  partitionBy: 'source' | 'key';
  codec: Codec;
  retentionMs: number | null;
  maxBacklogBytes: number;
  /** What happens above that; left out: pause. */
  onBacklog?: 'pause' | 'detach_sink';
}

export interface SinkPlan {
  name: string;
  /** Name of the output it reads. */
  from: string;
  topic: string;
  accepts: (record: LogRecord) => boolean;
  connector: ConnectorPlan;
  batch: { records: number; bytes: number; lingerMs: number };
  retry: { attempts: number; fromMs: number; toMs: number; onExhausted: 'wait' | 'dead_letter' | 'stop' };
  onGap: 'stop' | 'skip';
}

export interface TestPlan {
  name: string;
  line: number;
  env: Record<string, string>;
  input: { key: Uint8Array | null; value: Uint8Array | null; headers: Record<string, string>; timestamp: number };
  expect: ExpectPlan[];
}

export interface ExpectPlan {
  sinks?: string[];
  outputs?: string[];
  /** The value must contain this. */
  json?: unknown;
  absent?: string[];
  matches?: Record<string, string>;
  headers?: Record<string, string>;
  count?: number;
  deadLetter?: { step?: string; code?: string };
}
