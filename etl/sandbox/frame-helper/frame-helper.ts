import { MillstreamError } from '../../../core/base/errors.ts';
import { FRAME_HELPER_WASM } from './frame-helper-wasm.ts';

/** Bytes of one entry; the layout stands in assembly/index.ts. */
export const ENTRY_BYTES = 40;
/** What an entry's fourth field says in a step's input. */
export const VERDICT = { none: 0, void: 1, pass: 2, tooLarge: 3 } as const;
/** The least that an output record takes: index, route, flags, body length, three bytes of body. */
const LEAST_OUTPUT_RECORD = 15;
const OUTPUT_HEADER = 8;

const FAULTS = [
  '',
  'the output frame is shorter than its header',
  'the output frame has an unknown version',
  'the output frame has an unknown header',
  'an output record runs past the end of the frame',
  'an output record belongs to an input index beyond the input frame, or the frame promises records that it does not hold',
  'the input indexes of the output records decrease',
  'an output record goes to a route that does not exist',
  'an output record has unknown flags',
  "an output record's body runs past the end of the frame",
  "an output record's body is no Kafka record body",
  'there are bytes behind the last output record',
  'an output record has an impossible timestamp',
] as const;

interface Exports {
  memory: WebAssembly.Memory;
  records: WebAssembly.Global;
  bytes: WebAssembly.Global;
  nextCount: WebAssembly.Global;
  leftCount: WebAssembly.Global;
  emitted: WebAssembly.Global;
  dropped: WebAssembly.Global;
  outRecords: WebAssembly.Global;
  tooLarge: WebAssembly.Global;
  faultAt: WebAssembly.Global;
  baseTimestamp: WebAssembly.Global;
  maxTimestamp: WebAssembly.Global;
  reset(): void;
  reserve(size: number): number;
  mark(): number;
  release(to: number): void;
  scan(
    section: number,
    length: number,
    count: number,
    baseOffset: number,
    baseTime: number,
    appendTime: number,
    from: number,
    table: number,
    origin: number,
  ): number;
  plan(table: number, from: number, to: number, skip: boolean, maxRecords: number, maxBytes: number): number;
  frame(table: number, from: number, to: number, skip: boolean, target: number, partition: number): void;
  accept(
    output: number,
    size: number,
    table: number,
    from: number,
    to: number,
    skip: boolean,
    routes: number,
    last: boolean,
    next: number,
    left: number,
  ): number;
  merge(a: number, aCount: number, b: number, bCount: number, target: number): void;
  measure(table: number, count: number, route: number, partition: number): number;
  section(table: number, count: number, route: number, partition: number, target: number): void;
  origins(table: number, count: number, route: number, partition: number, target: number, room: number): number;
  distinct(table: number, count: number): number;
}

/** A growing list of entries in the helper's memory. */
export interface Table {
  at: number;
  count: number;
  capacity: number;
}

export interface Entry {
  origin: number;
  body: number;
  length: number;
  verdict: number;
  timestamp: number;
  offset: number;
  tombstone: boolean;
}

export interface Accepted {
  emitted: number;
  dropped: number;
  out: number;
}

let compiled: WebAssembly.Module | null = null;

/** The host's side of assembly/index.ts. */
export class FrameHelper {
  readonly raw: Exports;
  private bytesNow: Uint8Array<ArrayBuffer>;
  private viewNow: DataView;

  constructor() {
    compiled ??= new WebAssembly.Module(Buffer.from(FRAME_HELPER_WASM, 'base64'));
    this.raw = new WebAssembly.Instance(compiled).exports as unknown as Exports;
    this.bytesNow = new Uint8Array(this.raw.memory.buffer);
    this.viewNow = new DataView(this.raw.memory.buffer);
  }

  /** All of its memory; a new view whenever it has grown. */
  get memory(): Uint8Array<ArrayBuffer> {
    if (this.bytesNow.length === 0) this.bytesNow = new Uint8Array(this.raw.memory.buffer);
    return this.bytesNow;
  }

  get view(): DataView {
    if (this.viewNow.buffer !== this.memory.buffer) this.viewNow = new DataView(this.memory.buffer);
    return this.viewNow;
  }

  reset(): void {
    this.raw.reset();
  }

  reserve(size: number): number {
    const at = size < 0xfff00000 ? this.raw.reserve(size) >>> 0 : 0;
    if (at === 0) {
      throw new MillstreamError('data', 'TASK_TOO_LARGE', `a task needs more than the 4 GiB that framing can address`, {
        help: 'Lower the batch size of the producers or of the pipeline.',
      });
    }
    return at;
  }

  /** Copies bytes into the arena. */
  put(bytes: Uint8Array): number {
    const at = this.reserve(bytes.length);
    this.memory.set(bytes, at);
    return at;
  }

  newTable(capacity: number): Table {
    return { at: this.reserve(capacity * ENTRY_BYTES), count: 0, capacity };
  }

  /** Makes room for `more` entries. */
  ensure(table: Table, more: number): void {
    const needed = table.count + more;
    if (needed <= table.capacity) return;
    const capacity = Math.max(needed, table.capacity * 2);
    const at = this.reserve(capacity * ENTRY_BYTES);
    this.memory.copyWithin(at, table.at, table.at + table.count * ENTRY_BYTES);
    table.at = at;
    table.capacity = capacity;
  }

  entry(table: Table, index: number): Entry {
    const { view } = this;
    const at = table.at + index * ENTRY_BYTES;
    return {
      origin: view.getUint32(at, true),
      body: view.getUint32(at + 4, true),
      length: view.getUint32(at + 8, true),
      verdict: view.getUint32(at + 12, true),
      timestamp: Number(view.getBigInt64(at + 16, true)),
      offset: Number(view.getBigInt64(at + 24, true)),
      tombstone: view.getUint32(at + 32, true) !== 0,
    };
  }

  originOf(table: Table, index: number): number {
    return this.view.getUint32(table.at + index * ENTRY_BYTES, true);
  }

  timestampOf(table: Table, index: number): number {
    return Number(this.view.getBigInt64(table.at + index * ENTRY_BYTES + 16, true));
  }

  isTombstone(table: Table, index: number): boolean {
    return this.view.getUint32(table.at + index * ENTRY_BYTES + 32, true) !== 0;
  }

  setVerdict(table: Table, index: number, verdict: number): void {
    this.view.setUint32(table.at + index * ENTRY_BYTES + 12, verdict, true);
  }

  setBody(table: Table, index: number, body: number, length: number): void {
    this.view.setUint32(table.at + index * ENTRY_BYTES + 4, body, true);
    this.view.setUint32(table.at + index * ENTRY_BYTES + 8, length, true);
  }

  setPartition(table: Table, index: number, partition: number): void {
    this.view.setUint32(table.at + index * ENTRY_BYTES + 36, partition, true);
  }

  bodyOf(entry: Pick<Entry, 'body' | 'length'>): Uint8Array {
    return this.memory.subarray(entry.body, entry.body + entry.length);
  }

  /**
   * Checks an output frame that lies in the arena and adds its records to `next` and `left`.
   * Returns the counts, or the fault as a sentence. With `tooLarge` > 0 nothing was added: entries were marked.
   */
  accept(
    output: { at: number; length: number } | null,
    input: { table: Table; from: number; to: number; skip: boolean },
    routes: number,
    last: boolean,
    next: Table,
    left: Table,
  ): { fault: string } | { tooLarge: number } | Accepted {
    const { raw } = this;
    const at = output?.at ?? 0;
    const length = output?.length ?? 0;
    const count = length >= OUTPUT_HEADER ? this.view.getUint32(at + 4, true) : 0;
    if (count * LEAST_OUTPUT_RECORD > length) return { fault: `${FAULTS[4]} (it promises ${count} records)` };
    const most = count + input.to - input.from;
    if (!last) this.ensure(next, most);
    this.ensure(left, most);
    const status = raw.accept(
      at,
      length,
      input.table.at,
      input.from,
      input.to,
      input.skip,
      routes,
      last,
      next.at + next.count * ENTRY_BYTES,
      left.at + left.count * ENTRY_BYTES,
    );
    if (status !== 0) return { fault: `${FAULTS[status]} (output record ${raw.faultAt.value})` };
    if (raw.tooLarge.value > 0) return { tooLarge: raw.tooLarge.value };
    next.count += raw.nextCount.value;
    left.count += raw.leftCount.value;
    return { emitted: raw.emitted.value, dropped: raw.dropped.value, out: raw.outRecords.value };
  }

  /** Two lists ordered by origin, as one. */
  merge(a: Table, b: Table): Table {
    const merged = this.newTable(a.count + b.count);
    this.raw.merge(a.at, a.count, b.at, b.count, merged.at);
    merged.count = a.count + b.count;
    return merged;
  }
}
