import { fail, log, progress } from 'millstream:transform/host@1.0.0';
import { Writer } from './body.ts';
import { Failed, Record } from './record.ts';

/*
 * Between the world `frame-transform` and an author's functions:
 *
 *   export function transform(record) { return record; }        // a record, several, or null: dropped
 *   export function configure(config, step) {}                   // optional; what it throws refuses the configuration
 *   export const tombstones = true;                              // optional: records whose value is null come here too
 *   export const stateful = true;                                // optional: then transform(record, { state })
 *   export function onTimer(timer, { state, timers }) {}         // optional: then transform(record, { state, timers })
 *
 * The results depend on record and configuration alone: the clock is the record's timestamp, and chance begins anew, from
 * the record's place, with every record.
 */

type Results = Record | readonly Record[] | null | undefined;

export interface Author {
  transform(this: void, record: Record, step?: Step): Results;
  configure?(config: unknown, step: { outputs: string[]; topic: string; partition: number; step: string }): void;
  tombstones?: boolean;
  /** The timer is a record with its time, its key and no value. */
  onTimer?(this: void, timer: Record, step?: Step): Results;
}

/** What an author who keeps state is handed. */
export interface Step {
  state: object;
  timers?: object;
}

const REPORTS_PROGRESS = 1;
const TAKES_TOMBSTONES = 2;
const LEVELS = { debug: 0, log: 1, info: 1, warn: 2, error: 3 } as const;
const RECORD_BYTES = 16;

const decoder = new TextDecoder();
const out = new Writer();
let outputs: string[] = ['default'];
let clock = 0;
let seed: number | null = null;
let offset = 0;
let partition = 0;
/** null: the module keeps no state. */
let step: Step | null = null;

const SystemDate = Date;
globalThis.Date = class extends SystemDate {
  constructor(...args: unknown[]) {
    super(...((args.length === 0 ? [clock] : args) as [number]));
  }
  static override now(): number {
    return clock;
  }
} as DateConstructor;

/** Mulberry32 (public domain). */
Math.random = () => {
  seed = ((seed ?? offset + partition) + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
};

const shown = (value: unknown): string =>
  typeof value === 'string' ? value : value instanceof Error ? String(value) : (JSON.stringify(value) ?? String(value));
for (const [name, level] of Object.entries(LEVELS)) {
  (globalThis.console as unknown as { [name: string]: unknown })[name] = (...values: unknown[]) =>
    log(level, values.map(shown).join(' '));
}

/** The module keeps state: it is handed this with every record. */
export function keepState(handed: Step): void {
  step = handed;
}

/** Progress is reported by those who keep state, whose writes belong to a record. The others do not: the call costs more
 * than a record, and the host finds an endless loop record by record. */
export const capabilities = (author: Author): number =>
  (author.tombstones ? TAKES_TOMBSTONES : 0) | (step ? REPORTS_PROGRESS : 0);

export function configure(author: Author, init: Uint8Array): void {
  const { config, ...where } = JSON.parse(decoder.decode(init));
  ({ outputs } = where);
  try {
    author.configure?.(config, where);
  } catch (error) {
    // The error of a WIT result is its value.
    // oxlint-disable-next-line no-throw-literal
    throw error instanceof Error ? error.message : String(error);
  }
}

// A look-up in a module's namespace is slow: it is made once a frame.
export const onFrame = (author: Author, frame: Uint8Array): Uint8Array => onEach(author.transform, frame, 'transform');

export const onTimers = (author: Author, frame: Uint8Array): Uint8Array =>
  onEach(author.onTimer as Author['transform'], frame, 'onTimer');

function onEach(call: Author['transform'], frame: Uint8Array, name: 'transform' | 'onTimer'): Uint8Array {
  out.open(frame);
  // What was read from it stays readable when the output grows into another buffer.
  const { bytes, view } = out;
  const count = view.getUint32(4, true);
  const baseOffset = Number(view.getBigInt64(8, true));
  const areTimers = name === 'onTimer';
  if (!areTimers) partition = view.getUint32(24, true);
  const handed = step;
  let at = view.getUint16(2, true);
  let emitted = 0;
  for (let index = 0; index < count; index++) {
    const from = at + RECORD_BYTES;
    const end = from + view.getUint32(at, true);
    offset = baseOffset + view.getUint32(at + 4, true);
    // Two halves instead of a BigInt: this runs for every record.
    clock = view.getInt32(at + 12, true) * 4_294_967_296 + view.getUint32(at + 8, true);
    seed = null;
    // Timers have no offset.
    if (areTimers) offset = clock;
    at = end;
    const before = out.at;
    const soFar = emitted;
    try {
      let result: Results;
      if (handed === null) result = call(new Record(bytes, from, end, offset, clock));
      else {
        progress(index);
        result = call(new Record(bytes, from, end, offset, clock), handed);
      }
      if (result === null) continue;
      if (result instanceof Record && result.output === null) {
        // What most modules do, without one more call.
        result.write(out, index, 0);
        emitted++;
      } else if (result instanceof Record) emitted += emit(result, index);
      else if (Array.isArray(result)) for (const each of result) emitted += emit(each, index);
      else if (result) throw new TypeError(`${name} must return a record, an array of records, or null`);
    } catch (error) {
      out.at = before;
      emitted = soFar;
      report(index, error);
    }
  }
  if (emitted === 0) return new Uint8Array(0);
  out.view.setUint32(out.start, 1 | (8 << 16), true);
  out.view.setUint32(out.start + 4, emitted, true);
  return out.bytes.subarray(out.start, out.at);
}

function emit(record: unknown, index: number): number {
  if (!(record instanceof Record)) throw new TypeError('transform must return records: see record.with(...)');
  const route = record.output === null ? 0 : outputs.indexOf(record.output);
  if (route < 0) {
    const reason = `the module sends records to "${record.output}", which is no output of this pipeline`;
    throw new Failed('UNKNOWN_OUTPUT', reason);
  }
  record.write(out, index, route);
  return 1;
}

function report(index: number, error: unknown): void {
  if (error instanceof Failed) return fail(index, error.code, error.message);
  // The engine's own text. What the records before have left behind is no record's fault: the host tries this one alone.
  if (error === 'out of memory') throw error;
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  const frames = stack.split('\n').filter(line => line.includes('@src/'));
  fail(index, 'MODULE_THREW', `${String(error)}${frames[0] === undefined ? '' : ` (at ${frames[0]})`}`);
  log(LEVELS.error, [String(error), ...frames.map(frame => `    at ${frame}`)].join('\n'));
}
