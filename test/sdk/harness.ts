import { bodySize, type Header, type NewRecord, readBody, writeBody } from '../../core/log/record.ts';

/*
 * The smallest host of a module: frames records exactly by DESIGN 6 and reads the frame that comes back. What the
 * sandbox adds (limits, validation, workers) is not here.
 */

export interface Emitted {
  /** Which input record it came from. */
  input: number;
  route: number;
  timestamp: number | null;
  key: Uint8Array | null;
  value: Uint8Array | null;
  headers: readonly Header[];
}

export interface Failure {
  index: number;
  code: string;
  text: string;
}

/** The little that is used of the global, whose types belong to the DOM library. */
interface WebAssemblyApi {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: Record<string, Record<string, unknown>>) => { exports: unknown };
}
const { Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;

interface Exports {
  memory: { buffer: ArrayBuffer };
  millstream_abi_v1(): number;
  millstream_alloc(length: number): number;
  millstream_init(ptr: number, length: number): number;
  millstream_process(ptr: number, length: number): bigint;
}

export interface InputRecord extends NewRecord {
  offset?: number;
}

export class Guest {
  readonly failures: Failure[] = [];
  readonly lines: string[] = [];
  progress = -1;
  readonly exports: Exports;

  constructor(wasm: Uint8Array) {
    const text = (ptr: number, length: number): string =>
      Buffer.from(this.exports.memory.buffer, ptr >>> 0, length).toString();
    const instance = new Instance(new Module(wasm), {
      millstream: {
        log: (level: number, ptr: number, length: number) => void this.lines.push(`${level} ${text(ptr, length)}`),
        progress: (index: number) => {
          this.progress = index;
        },
        fail: (index: number, codePtr: number, codeLength: number, textPtr: number, textLength: number) =>
          void this.failures.push({ index, code: text(codePtr, codeLength), text: text(textPtr, textLength) }),
      },
    });
    this.exports = instance.exports as Exports;
  }

  /** 0 = ready. */
  init(config: unknown, outputs: string[] = ['default']): number {
    const json = Buffer.from(JSON.stringify({ config, outputs, topic: 'in', partition: 0, step: 'test' }));
    return this.exports.millstream_init(this.place(json), json.length);
  }

  /** Runs one frame; failures are gathered in `failures`. */
  process(records: readonly InputRecord[], baseOffset = 0, partition = 0): Emitted[] {
    return readFrame(this.run(frameOf(records, baseOffset, partition)));
  }

  /** Runs a finished frame; the answer is a view into the guest's memory. */
  run(frame: Uint8Array): Uint8Array {
    const result = this.exports.millstream_process(this.place(frame), frame.length);
    const length = Number(BigInt.asUintN(32, result));
    return new Uint8Array(this.exports.memory.buffer, Number(BigInt.asUintN(32, result >> 32n)), length);
  }

  private place(bytes: Uint8Array): number {
    const ptr = this.exports.millstream_alloc(bytes.length) >>> 0;
    new Uint8Array(this.exports.memory.buffer, ptr, bytes.length).set(bytes);
    return ptr;
  }
}

/** u8 version, u8 flags, u16 header length, u32 count, i64 base offset, i64 base timestamp, u32 partition; then per
 * record u32 body length, u32 offset delta, i64 timestamp, body. */
export function frameOf(records: readonly InputRecord[], baseOffset = 0, partition = 0): Uint8Array {
  const size = records.reduce((sum, record) => sum + 16 + bodySize(record), 28);
  const frame = Buffer.alloc(size);
  frame.writeUInt8(1, 0);
  frame.writeUInt16LE(28, 2);
  frame.writeUInt32LE(records.length, 4);
  frame.writeBigInt64LE(BigInt(baseOffset), 8);
  frame.writeBigInt64LE(BigInt(records[0]?.timestamp ?? 0), 16);
  frame.writeUInt32LE(partition, 24);
  let at = 28;
  records.forEach((record, i) => {
    frame.writeUInt32LE(bodySize(record), at);
    frame.writeUInt32LE(record.offset === undefined ? i : record.offset - baseOffset, at + 4);
    frame.writeBigInt64LE(BigInt(record.timestamp), at + 8);
    at = writeBody(frame, at + 16, record);
  });
  return frame;
}

/** u8 version, u8 flags, u16 header length, u32 count; then per record u32 input index, u16 route, u16 flags
 * (1 = has timestamp), [i64 timestamp], u32 body length, body. Copies what it returns. */
export function readFrame(view: Uint8Array): Emitted[] {
  if (view.length === 0) return [];
  const frame = Buffer.from(view);
  if (frame.readUInt8(0) !== 1) throw new Error(`frame version ${frame.readUInt8(0)}`);
  let at = frame.readUInt16LE(2);
  const emitted: Emitted[] = [];
  for (let i = frame.readUInt32LE(4); i > 0; i--) {
    const input = frame.readUInt32LE(at);
    const route = frame.readUInt16LE(at + 4);
    const hasTimestamp = frame.readUInt16LE(at + 6) === 1;
    const timestamp = hasTimestamp ? Number(frame.readBigInt64LE(at + 8)) : null;
    at += hasTimestamp ? 16 : 8;
    const length = frame.readUInt32LE(at);
    emitted.push({ input, route, timestamp, ...readBody(frame, at + 4, at + 4 + length) });
    at += 4 + length;
  }
  if (at !== frame.length) throw new Error(`frame ends at ${at} of ${frame.length}`);
  return emitted;
}

export const recordOf = (value: string | null, more: Partial<InputRecord> = {}): InputRecord => ({
  timestamp: 1_700_000_000_000,
  key: null,
  value: value === null ? null : Buffer.from(value),
  ...more,
});

export const textOf = (emitted: Emitted | undefined): string | null =>
  emitted?.value ? Buffer.from(emitted.value).toString() : null;
