import { MillstreamError } from '../base/errors.ts';
import { unsignedSize, writeUnsigned } from '../base/varint.ts';

const FIRST_CHUNK_BYTES = 512;
const MAX_CHUNK_BYTES = 65_536;

/**
 * Writes Kafka's primitive types, big endian, into a list of chunks for writev. Whatever is already written is never
 * moved: a full chunk is put aside and a larger one begun; record bytes become chunks of their own.
 */
export class Writer {
  private readonly chunks: Uint8Array[] = [];
  private buffer: Buffer;
  /** Where the chunk being written began in `buffer`, and where it goes on. */
  private from = 0;
  private at = 0;
  private doneBytes = 0;

  constructor(firstChunkBytes = FIRST_CHUNK_BYTES) {
    this.buffer = Buffer.allocUnsafe(firstChunkBytes);
  }

  get sizeBytes(): number {
    return this.doneBytes + this.at - this.from;
  }

  finish(): Uint8Array[] {
    this.cut();
    return this.chunks;
  }

  int8(value: number): void {
    whole(value, -0x80, 0x7f);
    const at = this.room(1);
    this.buffer[at] = value;
  }

  int16(value: number): void {
    whole(value, -0x8000, 0x7fff);
    this.put16(value);
  }

  uint16(value: number): void {
    whole(value, 0, 0xffff);
    this.put16(value);
  }

  int32(value: number): void {
    whole(value, -0x80000000, 0x7fffffff);
    this.put32(value);
  }

  uint32(value: number): void {
    whole(value, 0, 0xffffffff);
    this.put32(value);
  }

  /** Numbers outside the int64 become its ends (Java's Long.MAX_VALUE is read as 2^63). */
  int64(value: number): void {
    if (!Number.isInteger(value)) throw unwritable(`${value} is not an int64`);
    const high = Math.floor(value / 4294967296);
    if (high > 0x7fffffff) {
      this.put32(0x7fffffff);
      this.put32(-1);
    } else if (high < -0x80000000) {
      this.put32(-0x80000000);
      this.put32(0);
    } else {
      this.put32(high);
      this.put32(value - high * 4294967296);
    }
  }

  float64(value: number): void {
    this.room(8);
    this.buffer.writeDoubleBE(value, this.at - 8);
  }

  uuid(value: string): void {
    const at = this.room(16);
    if (value.length !== 32 || this.buffer.write(value, at, 16, 'hex') !== 16) {
      throw unwritable(`'${value}' is not a topic id of 32 hex digits`);
    }
  }

  unsigned(value: number): void {
    const at = this.room(unsignedSize(value));
    writeUnsigned(this.buffer, at, value);
  }

  /** UTF-8 with its length before it: an int16, or in flexible versions a varint of length + 1. */
  text(value: string, flexible: boolean): void {
    const length = Buffer.byteLength(value);
    if (flexible) this.unsigned(length + 1);
    else this.int16(length);
    if (length === 0) return;
    const at = this.room(length);
    this.buffer.write(value, at, length, 'utf8');
  }

  copy(value: Uint8Array): void {
    const at = this.room(value.length);
    this.buffer.set(value, at);
  }

  /** Passes `value` through as a chunk of its own. */
  pass(value: Uint8Array): void {
    if (value.length === 0) return;
    this.cut();
    this.chunks.push(value);
    this.doneBytes += value.length;
  }

  /** Puts everything that another writer holds behind this. */
  append(other: Writer): void {
    for (const chunk of other.finish()) this.copy(chunk);
  }

  private put16(value: number): void {
    const at = this.room(2);
    this.buffer[at] = value >> 8;
    this.buffer[at + 1] = value;
  }

  private put32(value: number): void {
    const at = this.room(4);
    const { buffer } = this;
    buffer[at] = value >> 24;
    buffer[at + 1] = value >> 16;
    buffer[at + 2] = value >> 8;
    buffer[at + 3] = value;
  }

  /** Makes room for `size` bytes in one piece; returns where they go. May replace `buffer`: read that afterwards. */
  private room(size: number): number {
    if (this.at + size > this.buffer.length) {
      this.cut();
      this.buffer = Buffer.allocUnsafe(Math.max(size, Math.min(MAX_CHUNK_BYTES, this.buffer.length * 4)));
      this.from = this.at = 0;
    }
    const at = this.at;
    this.at += size;
    return at;
  }

  private cut(): void {
    if (this.at === this.from) return;
    this.chunks.push(this.buffer.subarray(this.from, this.at));
    this.doneBytes += this.at - this.from;
    this.from = this.at;
  }
}

function whole(value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw unwritable(`${value} is not a whole number from ${least} to ${most}`);
  }
}

/** A body that its schema cannot carry is our own defect. */
export function unwritable(message: string, cause?: unknown): MillstreamError {
  return new MillstreamError('internal', 'UNWRITABLE_MESSAGE', message, { cause });
}
