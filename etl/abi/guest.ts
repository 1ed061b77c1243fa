import type { StepState } from '../sandbox/state/step-state.ts';
import type { Fuel, FuelSetup } from './fuel.ts';
import type { RegisteredSchema } from './schema-registry.ts';

/*
 * What the sandbox sees of a module, whatever ABI it speaks: an instance that is given input frames and gives output
 * frames (DESIGN 6). An ABI that knows neither makes them itself, around its own calls.
 */

/** One instance of one module. After it has thrown, it must not be used again. */
export interface Guest {
  /** Tombstones are handed to it too; otherwise they go around it. */
  readonly takesTombstones: boolean;
  /** Size of its memory now. */
  readonly memoryBytes: number;
  /** What it said about single records of the last call, by their index in the call. Their outputs are void. */
  readonly failures: ReadonlyMap<number, Failure>;
  /** What it wrote to its standard error about the record at hand; "" when nothing. */
  readonly lastWords: string;
  /**
   * One call: hands over the frame's records and returns the output frame, which is gone with the next call; null when
   * nothing came out. `frame` is not looked at any more once the call has returned. Throws GuestFault, or what V8 throws.
   * `most`: so many bytes may come out.
   */
  process(frame: Uint8Array, count: number, most: number): Uint8Array | null | Promise<Uint8Array | null>;
  /** What its step gives it for a record; null or left out: it may run as long as it is given time. */
  readonly fuel?: Fuel | null;
  /** Each record is a call of its own into the module, with fuel of its own. Left out: `process` is one. */
  readonly callsForEachRecord?: boolean;
  /** It says which record it works on; a step with state goes record by record otherwise. Left out: it does not. */
  readonly reportsProgress?: boolean;
  /** Lets these timers come; what comes out as of `process`, a timer's place being its input index. */
  flush?(timers: readonly string[], most: number): Uint8Array | null;
  /** Frees what a garbage collector would not see. */
  close(): void;
}

export interface GuestHost {
  /** The worker's shared cell: whoever knows which record is at work writes it there. */
  cell: Int32Array;
  /** A Fluvio aggregate's accumulator: read and written as a whole by each call. A call that fails has written nothing.
   * Setting it throws GuestFault when the step's state has no room for it. */
  memory: { kept: Uint8Array };
  /** Records of the source partition below this offset that the step looks back at, the oldest first. */
  past: (offset: number, timestamp: number, lookBack: LookBack) => readonly PastRecord[];
  /** null: the step keeps no state. */
  state?: StateHost | null;
  /** The line is decoded only when it is wanted. Levels: 0 debug, 1 info, 2 warn, 3 error. */
  log: (level: number, line: () => string) => void;
}

/** Where a guest's state is, and who follows its records. */
export interface StateHost {
  readonly state: StepState;
  /** The guest begins with this record, or this timer, of the call. Throws what ends the call before it. */
  enters(index: number): void;
}

export interface PastRecord {
  offset: number;
  timestamp: number;
  /** As Kafka writes it: key, value, headers. */
  body: Uint8Array;
}

/** No module is shown more of the past than this. */
export const MOST_PAST_RECORDS = 10_000;

/** How far a module is shown what came before: so many records, none older than this before the one at hand. */
export interface LookBack {
  last: number | null;
  ageMs: number | null;
}

/** What an instance is told about where it is. Can be cloned. */
export interface GuestSetup {
  pipeline: string;
  step: string;
  /** The step's `config`, as JSON can carry it. */
  config: unknown;
  /** The source partition. */
  topic: string;
  partition: number;
  /** The pipeline's outputs by route; the first is the default. */
  outputs: { name: string; topic: string }[];
  memoryBytes: number;
  lookBack: LookBack | null;
  /** What the schema registry holds; null: there is none. */
  schemas: readonly RegisteredSchema[] | null;
  /** Left out or null: its instructions are not counted. */
  fuel?: FuelSetup | null;
}

export interface Failure {
  code: string;
  reason: string;
}

/** The guest broke the rules of its ABI. */
export class GuestFault extends Error {
  readonly code: string;
  /** Which record of the call it is about; -1: the call as a whole. */
  readonly record: number;
  constructor(code: string, message: string, record = -1) {
    super(message);
    this.code = code;
    this.record = record;
  }
}

/** The module refused its configuration, or it ended before it was ready. May come with the first record, too. */
export class InitRefused extends Error {}

/** What a call may give back: this much for each byte, and this much for each record. */
export const OUTPUT_FACTOR = 8;
export const OUTPUT_BYTES_PER_RECORD = 1024 * 1024;

const PAGE_BYTES = 65_536;

/** What is to be said about whatever a guest threw. */
export function explainFault(
  thrown: unknown,
  memory: { before: number; now: number; limit: number },
  lastWords = '',
): Failure {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  if (thrown instanceof GuestFault) return { code: thrown.code, reason: withWords(message, lastWords) };
  if (thrown instanceof RangeError && message.includes('call stack')) {
    return { code: 'STACK_OVERFLOW', reason: `the module's calls nest too deeply: ${message}` };
  }
  // A module that is refused memory traps by itself, mostly with `unreachable`; how full it was tells.
  const nearLimit = memory.now + Math.max(PAGE_BYTES, memory.limit / 16) >= memory.limit;
  const grewFar = memory.now > memory.before && memory.now * 2 > memory.limit;
  if (nearLimit || grewFar) {
    const used = `${memory.now} of ${memory.limit} bytes`;
    const reason = `the module ran out of memory (${used} in use): ${message}`;
    return { code: 'MEMORY_LIMIT', reason: withWords(reason, lastWords) };
  }
  if (lastWords !== '') return { code: 'PANIC', reason: lastWords };
  return { code: 'TRAP', reason: `the module trapped: ${message}` };
}

function withWords(message: string, lastWords: string): string {
  return lastWords === '' ? message : `${message}: ${lastWords}`;
}
