import { varintSize, writeVarint } from '../../core/base/varint.ts';
import { CELL, PHASE } from '../sandbox/cell.ts';
import { type BodyParts, initInput, InputWriter, OutputReader, partsOf, VERSION } from './fluvio-codec.ts';
import { configPairs } from './foreign-config.ts';
import { type Fuel, fuelOf } from './fuel.ts';
import { InputFrame, OutputFrame } from './frames.ts';
import { GuestMemory } from './guest-memory.ts';
import { type Failure, type Guest, GuestFault, type GuestHost, type GuestSetup, InitRefused } from './guest.ts';
import { Wasi } from './wasi.ts';
import { WASI } from './wasi-functions.ts';

/*
 * Fluvio SmartModules, protocol version 22, host side.
 *
 * A SmartModule exports alloc and one of five transforms, (pointer, length, version) -> status, and hands its output over
 * by calling copy_records. Each record is a call of its own here: the outputs are that record's, an error is that record's,
 * and the next one goes on in the same instance.
 *
 * The protocol has nobody free an output. An instance whose memory has grown past the water mark is replaced by a
 * fresh one, which is initialised and looks back again; what `aggregate` has gathered lives outside and stays.
 *
 * SmartModules know no headers: outputs keep those of their record. They know no null values: tombstones go around them.
 */

/** In the order in which Fluvio looks for them. */
export const TRANSFORMS = ['filter', 'map', 'filter_map', 'array_map', 'aggregate'] as const;
export type Transform = (typeof TRANSFORMS)[number];

export const COPY_RECORDS = { name: 'copy_records', type: 'i32 i32 -> ' } as const;
export const TRANSFORM_TYPE = 'i32 i32 i32 -> i32';

/** Statuses of init and look_back behind which an error follows. */
const INIT_ERROR = -2;
const LOOK_BACK_ERROR = -99;
const STATUSES: Readonly<Record<number, string>> = {
  [-11]: 'it could not decode its input',
  [-22]: 'it could not decode the record',
  [-33]: 'it could not encode its output',
  [-44]: 'it could not read its parameters',
  [-55]: 'it misses the other record of a join',
};
/** How much of what is left above the memory of a fresh instance may be used up before it is replaced. */
const WATER_MARK = 0.5;

interface Exports {
  memory: WebAssembly.Memory;
  alloc(length: number): number;
  init?(pointer: number, length: number, version: number): number;
  look_back?(pointer: number, length: number, version: number): number;
  [transform: string]: unknown;
}

export class FluvioGuest implements Guest {
  readonly takesTombstones = false;
  readonly failures = new Map<number, Failure>();
  readonly callsForEachRecord = true;
  /** Of the instance at hand. What it is shown of the past costs nothing. */
  fuel: Fuel | null = null;
  private readonly module: WebAssembly.Module;
  private readonly host: GuestHost;
  private readonly setup: GuestSetup;
  private readonly input = new InputWriter();
  private readonly output = new OutputFrame();
  private exports!: Exports;
  private memory!: GuestMemory;
  private wasi!: Wasi;
  private transform!: Transform;
  /** What copy_records said during the call under way. */
  private copied: { pointer: number; length: number } | null = null;
  private waterMark = 0;
  private hasLookedBack = false;

  /** Instantiates and initialises. Throws InitRefused, GuestFault or what V8 throws. */
  constructor(module: WebAssembly.Module, host: GuestHost, setup: GuestSetup) {
    this.module = module;
    this.host = host;
    this.setup = setup;
    host.cell[CELL.phase] = PHASE.init;
    this.renew();
    host.cell[CELL.phase] = PHASE.host;
  }

  get memoryBytes(): number {
    return this.memory.size;
  }

  get lastWords(): string {
    return this.wasi.lastWords;
  }

  process(frame: Uint8Array, count: number): Uint8Array | null {
    const { cell, memory } = this.host;
    const { output } = this;
    const records = new InputFrame(frame, count);
    let accumulator = this.transform === 'aggregate' ? memory.kept : null;
    this.failures.clear();
    output.begin(count);
    for (let i = 0; i < count; i++) {
      records.next();
      cell[CELL.record] = i;
      if (this.memory.size > this.waterMark) this.renew();
      if (!this.hasLookedBack) this.lookBack(records.offset, records.timestamp);
      this.wasi.atRecord(records.offset, records.timestamp);
      output.forRecord(i, records.bodyTo - records.bodyFrom);
      accumulator = this.one(records, accumulator);
    }
    if (accumulator) memory.kept = accumulator;
    this.wasi.flush();
    return output.finish();
  }

  close(): void {}

  /** Runs the transform over one record. Returns the accumulator behind it. */
  private one(record: InputFrame, accumulator: Uint8Array | null): Uint8Array | null {
    const { output, transform } = this;
    const parts = partsOf(record.bytes, record.bodyFrom);
    this.fuel?.fill();
    const status = this.call(transform, this.input.write(record.bytes, parts, record, accumulator));
    if (status < 0) {
      const reason = STATUSES[status] ?? 'it does not say why';
      this.failures.set(record.index, { code: 'FAILED', reason: `the SmartModule gave up: ${reason} (${status})` });
      return accumulator;
    }
    const mark = output.mark();
    try {
      const given = this.given();
      for (let left = given.count(); left > 0; left--) {
        given.record();
        this.emit(given, record, parts);
      }
      const hint = given.error();
      if (hint === null) return accumulator && given.accumulator().slice();
      output.release(mark);
      this.failures.set(record.index, { code: 'FAILED', reason: hint });
      return accumulator;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new GuestFault('BAD_OUTPUT', `the SmartModule's output is damaged: ${error.message}`, record.index);
    }
  }

  private emit(given: OutputReader, record: InputFrame, { headersFrom }: BodyParts): void {
    const { keyFrom, keyLength, valueFrom, valueLength, timestampDelta } = given;
    const key = Math.max(keyLength, 0);
    const headers = record.bodyTo - headersFrom;
    const size = varintSize(keyLength) + key + varintSize(valueLength) + valueLength + headers;
    const timestamp = timestampDelta === 0 ? null : record.timestamp + timestampDelta;
    const { body, at } = this.output.add(size, 0, timestamp);
    let end = writeVarint(body, at, keyLength);
    body.set(given.bytes.subarray(keyFrom, keyFrom + key), end);
    end = writeVarint(body, end + key, valueLength);
    body.set(given.bytes.subarray(valueFrom, valueFrom + valueLength), end);
    body.set(record.bytes.subarray(headersFrom, record.bodyTo), end + valueLength);
  }

  /** Copies the input to where the guest wants it (the guest frees it), and calls. */
  private call(name: string, input: Uint8Array): number {
    const { exports, memory } = this;
    const pointer = exports.alloc(input.length);
    memory.at(pointer, input.length).set(input);
    this.copied = null;
    return (exports[name] as NonNullable<Exports['init']>)(pointer, input.length, VERSION);
  }

  /** What the guest gave during its last call. */
  private given(): OutputReader {
    if (!this.copied) throw new RangeError('it gave none');
    return new OutputReader(this.memory.at(this.copied.pointer, this.copied.length));
  }

  /** A fresh instance, initialised. */
  private renew(): void {
    const { setup, host } = this;
    const { pipeline, step, topic, partition, memoryBytes } = setup;
    const memory = new GuestMemory();
    const seed = `${pipeline}/${step}/${topic}/${partition}`;
    this.wasi = new Wasi({ memory, args: [step], env: new Map(), seed, log: host.log });
    const copy = (pointer: number, length: number): void => {
      this.copied = { pointer, length };
    };
    const imports: Record<string, Record<string, unknown>> = { [WASI]: this.wasi.imports };
    // From whatever module it imports it; compilers say "env".
    for (const { module, name } of WebAssembly.Module.imports(this.module)) {
      if (name === COPY_RECORDS.name) imports[module] = { ...imports[module], [name]: copy };
    }
    const { exports } = new WebAssembly.Instance(this.module, imports);
    this.memory = memory;
    this.exports = exports as Exports;
    this.transform = TRANSFORMS.find(name => exports[name] !== undefined) as Transform;
    memory.attach(this.exports.memory);
    this.fuel = fuelOf(exports, setup.fuel);
    this.hasLookedBack = false;
    if (this.exports.init) this.initialise();
    this.waterMark = memory.size + (memoryBytes - memory.size) * WATER_MARK;
  }

  private initialise(): void {
    let status: number;
    try {
      status = this.call('init', initInput(configPairs(this.setup.config), this.setup.lookBack));
    } catch (error) {
      throw this.lastWords === '' ? error : new InitRefused(this.lastWords);
    }
    if (status < 0) throw new InitRefused(this.hintOf(status, INIT_ERROR));
  }

  /** Shows the guest what came before this record. One that it refuses is told and passed over: it had its turn. */
  private lookBack(offset: number, timestamp: number): void {
    const { cell, log, past } = this.host;
    this.hasLookedBack = true;
    const { lookBack } = this.setup;
    if (!this.exports.look_back || lookBack === null) return;
    const phase = cell[CELL.phase] as number;
    cell[CELL.phase] = PHASE.init;
    for (const record of past(offset, timestamp, lookBack)) {
      this.wasi.atRecord(record.offset, record.timestamp);
      const input = this.input.write(record.body, partsOf(record.body, 0), record, null);
      let status: number;
      try {
        status = this.call('look_back', input);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new InitRefused(`look_back ended at offset ${record.offset}: ${why}`);
      }
      if (status >= 0) continue;
      const hint = this.hintOf(status, LOOK_BACK_ERROR);
      log(2, () => `look_back refused the record at offset ${record.offset}: ${hint}`);
    }
    cell[CELL.phase] = phase;
  }

  private hintOf(status: number, withHint: number): string {
    if (status !== withHint) return `it gave up with status ${status}`;
    try {
      return this.given().hint();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return `it gave up with status ${status} and a damaged reason`;
    }
  }
}
