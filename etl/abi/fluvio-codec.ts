import { type Cursor, readVarint, varintSize, writeVarint } from '../../core/base/varint.ts';
import type { LookBack } from './guest.ts';

/*
 * What Fluvio's SmartModules are given and give, in version 22 of their protocol. Numbers are big endian, varints
 * zigzag; a text stands behind an int16 length, a list or bytes behind an int32, an option behind a byte 0 or 1.
 *
 *   record  = varint length, int8 attributes, varint timestamp delta, varint offset delta,
 *             option of key (varint length, bytes), varint length, value, varint headers (always 0)
 *   input   = int64 base offset, bytes(list of records), params, bytes(join record, empty), int64 base timestamp
 *             and, to aggregate, bytes(accumulator)
 *   params  = int16 count, { text, text }*, option of look-back { int64 last, option of age { int64 s, int32 ns } }
 *   output  = list of records, option of error, and, from aggregate, bytes(accumulator)
 *   error   = text hint, int64 offset, int8 kind, option of key, value
 */

export const VERSION = 22;
const RECORD_MORE = 4;
const INPUT_FIXED = 8 + 4 + 4 + 2 + 1 + 4 + 8;

/** A record's body as Kafka writes it, taken apart: positions in `bytes`. */
export interface BodyParts {
  /** -1: null. */
  keyLength: number;
  keyFrom: number;
  valueLength: number;
  valueFrom: number;
  /** Header count and headers, up to the end. */
  headersFrom: number;
}

/** Takes a sound body apart. */
export function partsOf(bytes: Uint8Array, from: number): BodyParts {
  const at: Cursor = { offset: from };
  const keyLength = readVarint(bytes, at);
  const keyFrom = at.offset;
  at.offset += Math.max(keyLength, 0);
  const valueLength = readVarint(bytes, at);
  const valueFrom = at.offset;
  return { keyLength, keyFrom, valueLength, valueFrom, headersFrom: valueFrom + Math.max(valueLength, 0) };
}

/** Writes inputs of one record each, over and over into the same buffer. */
export class InputWriter {
  private buffer: Buffer = Buffer.allocUnsafe(16 * 1024);

  /** The input that holds this one record, until the next one is written. */
  write(
    bytes: Uint8Array,
    { keyLength, keyFrom, valueLength, valueFrom }: BodyParts,
    { offset, timestamp }: { offset: number; timestamp: number },
    accumulator: Uint8Array | null,
  ): Uint8Array {
    const value = Math.max(valueLength, 0);
    const keySize = keyLength < 0 ? 0 : varintSize(keyLength) + keyLength;
    const size = RECORD_MORE + keySize + varintSize(value) + value + 1;
    const record = varintSize(size) + size;
    const total = INPUT_FIXED + record + (accumulator ? 4 + accumulator.length : 0);
    if (total > this.buffer.length) this.buffer = Buffer.allocUnsafe(total * 2);
    const { buffer } = this;
    let at = buffer.writeBigInt64BE(BigInt(offset), 0);
    at = buffer.writeInt32BE(4 + record, at);
    at = buffer.writeInt32BE(1, at);
    at = writeVarint(buffer, at, size);
    // Attributes, timestamp delta, offset delta: the record is the base of its own batch.
    buffer[at++] = 0;
    buffer[at++] = 0;
    buffer[at++] = 0;
    buffer[at++] = keyLength < 0 ? 0 : 1;
    if (keyLength >= 0) {
      at = writeVarint(buffer, at, keyLength);
      buffer.set(bytes.subarray(keyFrom, keyFrom + keyLength), at);
      at += keyLength;
    }
    at = writeVarint(buffer, at, value);
    buffer.set(bytes.subarray(valueFrom, valueFrom + value), at);
    at += value;
    buffer[at++] = 0;
    // No params, no look-back, no join record.
    buffer.fill(0, at, at + 7);
    at = buffer.writeBigInt64BE(BigInt(timestamp), at + 7);
    if (accumulator) {
      at = buffer.writeInt32BE(accumulator.length, at);
      buffer.set(accumulator, at);
      at += accumulator.length;
    }
    return buffer.subarray(0, at);
  }
}

/** What init is given. */
export function initInput(params: readonly (readonly [string, string])[], lookBack: LookBack | null): Uint8Array {
  const parts: Uint8Array[] = [int16(params.length)];
  for (const [name, value] of params) parts.push(text(name), text(value));
  if (lookBack === null) parts.push(Uint8Array.of(0));
  else {
    parts.push(Uint8Array.of(1), int64(lookBack.last ?? 0));
    if (lookBack.ageMs === null) parts.push(Uint8Array.of(0));
    else {
      const nanoseconds = Buffer.alloc(4);
      nanoseconds.writeUInt32BE((lookBack.ageMs % 1000) * 1_000_000);
      parts.push(Uint8Array.of(1), int64(Math.floor(lookBack.ageMs / 1000)), nanoseconds);
    }
  }
  return Buffer.concat(parts);
}

function int16(value: number): Uint8Array {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}

function text(value: string): Uint8Array {
  const bytes = Buffer.from(value);
  return Buffer.concat([int16(bytes.length), bytes]);
}

/** Reads what a SmartModule gave, which may be anything: RangeError when it does not fit. */
export class OutputReader {
  /** Of the record that was read last; positions in `bytes`. */
  keyFrom = 0;
  /** -1: none. */
  keyLength = -1;
  valueFrom = 0;
  valueLength = 0;
  timestampDelta = 0;
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly at: Cursor = { offset: 0 };

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** How many records follow. */
  count(): number {
    const count = this.view.getInt32(this.advance(4));
    if (count < 0) throw new RangeError(`a list of ${count} records`);
    return count;
  }

  record(): void {
    const { bytes, at } = this;
    const length = readVarint(bytes, at);
    const end = at.offset + length;
    if (length < 0 || end > bytes.length) throw new RangeError('a record runs past the end');
    this.advance(1);
    this.timestampDelta = readVarint(bytes, at);
    readVarint(bytes, at);
    this.keyLength = -1;
    if (this.option()) this.keyFrom = this.skip((this.keyLength = this.length()));
    this.valueFrom = this.skip((this.valueLength = this.length()));
    if (at.offset > end) throw new RangeError('a value runs past its record');
    at.offset = end;
  }

  /** The error's hint; null when there is none. */
  error(): string | null {
    if (!this.option()) return null;
    const hint = this.hint();
    this.advance(8 + 1);
    if (this.option()) this.skip(this.length());
    this.skip(this.length());
    return hint;
  }

  hint(): string {
    const length = this.view.getInt16(this.advance(2));
    const from = this.skip(Math.max(length, 0));
    return Buffer.from(this.bytes.subarray(from, this.at.offset)).toString();
  }

  /** A view. */
  accumulator(): Uint8Array {
    const from = this.skip(this.view.getInt32(this.advance(4)));
    return this.bytes.subarray(from, this.at.offset);
  }

  private option(): boolean {
    return this.view.getInt8(this.advance(1)) === 1;
  }

  private length(): number {
    return Math.max(readVarint(this.bytes, this.at), 0);
  }

  private skip(length: number): number {
    if (length < 0) throw new RangeError(`a length of ${length}`);
    return this.advance(length);
  }

  /** Returns where it was. */
  private advance(bytes: number): number {
    const from = this.at.offset;
    if (bytes > this.bytes.length - from) throw new RangeError('the output ends early');
    this.at.offset = from + bytes;
    return from;
  }
}
