import { MillstreamError } from '../base/errors.ts';
import { readUnsigned } from '../base/varint.ts';
import { ZERO_UUID } from './schema.ts';

/** Array elements that one message may hold; a frame of a few bytes an element costs a hundred times that as objects. */
export const MAX_ELEMENTS = 1_000_000;

/** Reads Kafka's primitive types, big endian, never past the end. */
export class Reader {
  readonly bytes: Buffer;
  /** Where the next read begins. */
  offset: number;
  private elementsLeft: number;

  constructor(input: Uint8Array, offset = 0, maxElements = MAX_ELEMENTS) {
    this.bytes = Buffer.isBuffer(input) ? input : Buffer.from(input.buffer, input.byteOffset, input.byteLength);
    this.offset = offset;
    this.elementsLeft = maxElements;
  }

  get remaining(): number {
    return this.bytes.length - this.offset;
  }

  int8(): number {
    return ((this.bytes[this.take(1)] as number) << 24) >> 24;
  }

  int16(): number {
    const at = this.take(2);
    return (((this.bytes[at] as number) << 24) >> 16) | (this.bytes[at + 1] as number);
  }

  uint16(): number {
    return this.int16() & 0xffff;
  }

  int32(): number {
    const at = this.take(4);
    const { bytes } = this;
    return (
      ((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)
    );
  }

  uint32(): number {
    return this.int32() >>> 0;
  }

  int64(): number {
    const high = this.int32();
    return high * 4294967296 + this.uint32();
  }

  float64(): number {
    return this.bytes.readDoubleBE(this.take(8));
  }

  uuid(): string {
    const at = this.take(16);
    const { bytes } = this;
    let isZero = true;
    for (let i = at; i < at + 16 && isZero; i++) isZero = bytes[i] === 0;
    return isZero ? ZERO_UUID : bytes.toString('hex', at, at + 16);
  }

  unsigned(): number {
    return readUnsigned(this.bytes, this);
  }

  text(length: number): string {
    if (length === 0) return '';
    const at = this.take(length);
    return this.bytes.toString('utf8', at, at + length);
  }

  view(length: number): Uint8Array {
    const at = this.take(length);
    return this.bytes.subarray(at, at + length);
  }

  /** Checks an array's length against what is left before anything is allocated for it. */
  elements(count: number, minimumSize: number): number {
    if (count * minimumSize > this.remaining) throw malformed(`an array of ${count} does not fit the bytes left`);
    this.elementsLeft -= count;
    if (this.elementsLeft < 0) throw malformed('the message has too many array elements');
    return count;
  }

  /** Skips the tagged fields (KIP-482), handing those that `known` accepts to it with the reader at their first byte. */
  tags(known: (tag: number) => (() => void) | undefined): void {
    for (let left = this.unsigned(); left > 0; left--) {
      const tag = this.unsigned();
      const size = this.unsigned();
      if (size > this.remaining) throw malformed('a tagged field runs past the end');
      const end = this.offset + size;
      known(tag)?.();
      if (this.offset > end) throw malformed('a tagged field is longer than its size');
      this.offset = end;
    }
  }

  private take(size: number): number {
    const at = this.offset;
    if (size < 0 || at + size > this.bytes.length) throw malformed('a field runs past the end');
    this.offset = at + size;
    return at;
  }
}

export function malformed(message: string, cause?: unknown): MillstreamError {
  return new MillstreamError('invalid', 'MALFORMED_REQUEST', message, { cause });
}
