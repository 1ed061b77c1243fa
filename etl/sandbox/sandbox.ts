import type { RecordCounts } from '../../core/engine/lineage.ts';
import type { Codec } from '../../core/engine/records.ts';
import type { LookBack } from '../abi/guest.ts';
import type { RegisteredSchema } from '../abi/schema-registry.ts';

/*
 * What the runner sees of the sandbox. Raw RecordBatch bytes go in, finished RecordBatches come out; the main thread
 * never touches a record. A lane is one step chain on one source partition; its tasks run in call order.
 */

export type Abi = 'millstream-core' | 'millstream-component' | 'redpanda' | 'fluvio';

/** A module that passed inspection. */
export interface StoredModule {
  name: string;
  version: string;
  /** 64 hex digits, of the bytes as they were given (before our limits are written into them). */
  sha256: string;
  abi: Abi;
  /** Which form of its ABI: "ABI 2" of a Redpanda transform, "filter" of a SmartModule; null: there is but one. */
  form: string | null;
  bytes: Uint8Array;
  /** From module.toml. */
  description: string | null;
  /** JSON paths that the module redacts or removes: `on_error = "pass"` would let them through. */
  redacts: boolean;
  /** From module.toml: the JSON Schema of the module's config. */
  configSchema?: object;
  /** It imports the functions that ask for state: each step keeps its own for each partition. */
  state?: StateNeeds | null;
}

export interface StateNeeds {
  /** From module.toml, `state_version`: state that another version has written is refused. */
  version: number;
  /** It sets timers. */
  timers: boolean;
}

export type OnError = 'dead_letter' | 'drop' | 'pass' | 'stop';

export interface ChainStep {
  name: string;
  module: StoredModule;
  /** JSON value handed to millstream_init, as environment to a Redpanda transform, as params to a SmartModule. */
  config: unknown;
  /** Values of the config that are shown nowhere: logs and reasons say `***`. */
  secrets?: readonly string[];
  onError: OnError;
  memoryBytes: number;
  /** Per record. */
  timeMs: number;
  initTimeMs: number;
  /** WebAssembly instructions for one record. Left out or null: they are not counted. */
  fuel?: number | null;
  /** What its state may hold for one partition, when the module keeps any. Left out: 64 MiB. */
  stateBytes?: number;
  /** The policy turns into `stop` after this many failures in a row; null: never. */
  maxFailuresInARow: number | null;
  /** For SmartModules that look back; left out: they do not. */
  lookBack?: LookBack;
  /** For modules that ask a schema registry; left out: there is none. */
  schemas?: readonly RegisteredSchema[];
  /** Stacks of what the module throws go to the log: for those who work on it. */
  traces?: boolean;
}

export interface ChainOutput {
  name: string;
  /** Modules of other systems name outputs by it. */
  topic: string;
  /** null: the source partition; a number: murmur2 over the key, as Java does, onto that many partitions. */
  rehashPartitions: number | null;
  codec: Codec;
}

/** What a module wrote to its log. */
export interface ModuleLine {
  step: string;
  /** 0 debug, 1 info, 2 warn, 3 error. */
  level: number;
  line: string;
}

export interface ChainSpec {
  pipeline: string;
  steps: ChainStep[];
  /** The first is "default". */
  outputs: ChainOutput[];
  source: { topic: string; topicId: string; partition: number };
  /**
   * The records pass before they are stored. Each task is one batch as its producer sent it, from base offset 0, and its
   * one output is the batch to store (stored-batch.ts); there is one output in `outputs`. Failed records of steps with
   * `dead_letter`, and batches that cannot be read, are only told, in `dead.letters`: then nothing is to be stored.
   */
  beforeStored?: boolean;
  /** Every line that is within the limits, beside the sandbox's own log. */
  onLine?: (line: ModuleLine) => void;
}

/** Where a lane with state goes on. */
export interface LaneState {
  /** The changelog, as committed: batches, oldest first. They stay as they are while the lane lives. */
  batches: readonly Uint8Array[];
  /** Of the source topic. */
  partitions: number;
  /** How many entries the changelog must give; null: not known. */
  entries: number | null;
}

export interface LaneTask {
  /** Verbatim batches one behind the other; the buffer is transferred to the worker and comes back as `recycled`. */
  batches: Uint8Array<ArrayBuffer>;
  /** Records below this offset (in the first batch) were processed before: skip them. */
  from: number;
  /** Return up to this many before / after samples. */
  samples: number;
  /** The partition is idle: `batches` is empty, and its time moves on to this (milliseconds since the epoch), at `from`. */
  tick?: number;
}

export interface StepCounts {
  /** Records that entered the step. */
  in: number;
  /** Of those: with at least one output, with none, passed unchanged after a failure, dead. in = sum of the four. */
  emitted: number;
  dropped: number;
  passed: number;
  dead: number;
  /** Records that left. */
  out: number;
  nanoseconds: number;
}

/** Source records by their end. */
export type RecordEnds = Omit<RecordCounts, 'in'>;

export interface TaskOutput {
  /** Index into ChainSpec.outputs. */
  route: number;
  partition: number;
  /** One finished RecordBatch v2, base offset 0. */
  batch: Uint8Array;
  records: number;
  /** Which source record each comes from (core/engine/lineage.ts); null: that would take too much room. */
  origins: Uint8Array | null;
}

export interface LetterSummary {
  step: string;
  offset: number;
  code: string;
  reason: string;
}

/** One record before and after a step (text is UTF-8, cut at 4 KiB). */
export interface StepSample {
  step: string;
  offset: number;
  before: SampleRecord;
  /** Empty: dropped, or dead with `error` set. */
  after: (SampleRecord & { output: string })[];
  error: { code: string; reason: string } | null;
}

export interface SampleRecord {
  key: string | null;
  value: string | null;
  headers: Record<string, string | null>;
}

export interface TaskResult {
  records: number;
  /** What became of them: the sum is `records`. */
  ends: RecordEnds;
  outputs: TaskOutput[];
  /** A finished batch for `<pipeline>.dead`, and its letters in short. */
  dead: { batch: Uint8Array; letters: LetterSummary[] } | null;
  /** In step order. */
  steps: StepCounts[];
  samples: StepSample[];
  /** What the steps that keep state have changed in it; null: none of them keeps any. */
  state?: StateChanges | null;
  /** A step's policy says stop: outputs end before `offset`, which is the next to process once it is mended. */
  stopped: { step: string; offset: number; code: string; reason: string } | null;
  recycled: ArrayBuffer | null;
}

export interface StateChanges {
  /** Finished batches for the changelog; none: nothing has changed. */
  batches: Uint8Array[];
  /** How many entries the steps keep now. */
  entries: number;
  /** When the next timer comes, milliseconds since the epoch; null: there is none. */
  nextTimer: number | null;
}

export interface Lane {
  /** Runs behind the lane's earlier tasks; 2-4 may be under way. Rejects only when the sandbox itself is broken or
   * closed, or with kind `invalid`, code MODULE_INIT_FAILED when a module refuses its config. */
  run(task: LaneTask): Promise<TaskResult>;
  /** Runs what is queued, then frees the instances. */
  close(): Promise<void>;
}

export interface Sandbox {
  /** Compiles and initialises the chain once in a throw-away worker: a start function that never returns or a refused
   * config is an error here (kind `invalid`), before any record is read. */
  probe(chain: ChainSpec): Promise<void>;
  /** `state` left out: steps that keep any begin with none. What a task has changed is seen by the tasks behind it, also
   * before it is committed: after a commit that failed the lane is closed, and another one opened with what is committed. */
  openLane(chain: ChainSpec, state?: LaneState): Lane;
  /** Compiles it in a throw-away worker, as a lane would; kind `invalid`, code MODULE_REFUSED. */
  check(module: StoredModule): Promise<void>;
  close(): Promise<void>;
}
