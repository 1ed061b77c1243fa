import type { ErrorKind } from '../../core/base/errors.ts';
import type { GuestSetup } from '../abi/guest.ts';
import type { Abi, ChainOutput, ChainSpec, LaneState, OnError, TaskResult } from './sandbox.ts';

/* What the main thread and a worker say to each other. Everything here can be cloned. */

export interface ChainStepMessage {
  name: string;
  module: WebAssembly.Module;
  sha256: string;
  abi: Abi;
  setup: GuestSetup;
  onError: OnError;
  /** null: the module keeps no state. */
  state?: { version: number; timers: boolean; limitBytes: number } | null;
  maxFailuresInARow: number | null;
  traces: boolean;
  secrets: readonly string[];
}

export interface ChainMessage {
  pipeline: string;
  steps: ChainStepMessage[];
  outputs: ChainOutput[];
  source: ChainSpec['source'];
  beforeStored: boolean;
}

/** How a step's records are handed over: in frames; one by one; one by one, each to a fresh instance. */
export const MODE = { frames: 0, single: 1, fresh: 2 } as const;

/** What a lane remembers of a step from task to task. */
export interface StepMemory {
  failuresInARow: number;
  mode: number;
}

export const FRESH_MEMORY: StepMemory = { failuresInARow: 0, mode: 0 };

/** A record within a task: the how-manyth that the step was given. */
export interface Place {
  step: number;
  ordinal: number;
}

/**
 * What earlier attempts at this task have shown. It only grows, and every attempt that ends with its thread adds to it:
 * so many attempts there are at most.
 */
export interface Blame {
  /** A thread stood still on these: they run alone, in a fresh instance. */
  suspects: Place[];
  /** Stood still alone, too: these are not run again. */
  condemned: (Place & { origin: number; code: string; reason: string })[];
  /** By step, the least MODE. It grows when a suspect was innocent, or a call of several records did not say where it was. */
  modes: number[];
}

export interface OpenMessage {
  chain: ChainMessage;
  memory: StepMemory[];
  /** Left out: no step keeps any, or all begin with none. */
  state?: LaneState | null;
  /** Batches of the source before the next task, for steps that look back. */
  past: Uint8Array | null;
}

export interface RunMessage {
  kind: 'run';
  task: number;
  lane: number;
  /** With the lane's first task in this worker. */
  open: OpenMessage | null;
  buffer: ArrayBuffer;
  byteOffset: number;
  length: number;
  from: number;
  samples: number;
  /** As in a task. */
  tick?: number | null;
  /** Milliseconds since the epoch, for dead letters. */
  at: number;
  blame: Blame;
}

/** Compiles a module, or starts a chain without running anything. */
export type ProbeMessage =
  | { kind: 'compile'; task: number; bytes: Uint8Array; hasFuel: boolean }
  | { kind: 'start'; task: number; chain: ChainMessage };

export type WorkerMessage =
  | RunMessage
  | ProbeMessage
  | { kind: 'close'; task: number; lane: number }
  /** The thread's priority: 19 is the least. */
  | { kind: 'nice'; task: number; nice: number };

export interface LogLine {
  step: string;
  level: number;
  line: string;
}

export interface RunReply {
  result: Omit<TaskResult, 'recycled'>;
  memory: StepMemory[];
  /** All of the lane's state, as of this task, in place of the batches that gave it; null: those are short enough. */
  snapshot: Uint8Array[] | null;
  logs: LogLine[];
  /** Log lines that were over the limit. */
  logsLost: number;
}

export interface ErrorReply {
  kind: ErrorKind;
  code: string;
  message: string;
  help: string | undefined;
}

export type Reply =
  | { ok: 'run'; reply: RunReply; recycled: ArrayBuffer }
  | { ok: 'compiled'; module: WebAssembly.Module }
  | { ok: 'done' }
  | { ok: null; error: ErrorReply };
