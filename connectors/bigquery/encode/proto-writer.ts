/*
 * Protocol buffers, wire format (protobuf.dev/programming-guides/encoding): a field is a tag, number << 3 | wire type,
 * then a varint (0), eight bytes (1), or a length and bytes (2). Rows are written one behind the other into chunks; a
 * chunk lives as long as a row in it is under way.
 */

const CHUNK_BYTES = 256 * 1024;
/** Longest number with its tag. */
export const NUMBER_ROOM = 16;
/** Strings up to this long are written by hand: calling into the runtime costs more. */
const SHORT_TEXT = 24;

export class ProtoWriter {
  buffer: Buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  at = 0;
  private rowFrom = 0;

  beginRow(): void {
    this.rowFrom = this.at;
  }

  /** The bytes since `beginRow`. */
  endRow(): Uint8Array {
    // A plain view: a Buffer takes twice as long to make.
    const { buffer, byteOffset } = this.buffer;
    return new Uint8Array(buffer, byteOffset + this.rowFrom, this.at - this.rowFrom);
  }

  /** Forgets what was written since `beginRow`. */
  dropRow(): void {
    this.at = this.rowFrom;
  }

  /** Makes room for `bytes` more; what the row has so far moves along. */
  reserve(bytes: number): void {
    if (this.at + bytes > this.buffer.length) this.renew(bytes);
  }

  private renew(bytes: number): void {
    const started = this.buffer.subarray(this.rowFrom, this.at);
    const next = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, started.length * 2 + bytes));
    next.set(started);
    this.buffer = next;
    this.at = started.length;
    this.rowFrom = 0;
  }

  /** Of a safe, not negative integer. */
  varint(value: number): void {
    const { buffer } = this;
    let at = this.at;
    if (value > 0x7fffffff) {
      // The lower 28 bits as four bytes, the upper 25 as a number of their own.
      const upper = Math.floor(value / 0x10000000);
      const lower = value - upper * 0x10000000;
      buffer[at] = (lower & 0x7f) | 0x80;
      buffer[at + 1] = ((lower >>> 7) & 0x7f) | 0x80;
      buffer[at + 2] = ((lower >>> 14) & 0x7f) | 0x80;
      buffer[at + 3] = (lower >>> 21) | 0x80;
      at += 4;
      value = upper;
    }
    while (value > 0x7f) {
      buffer[at++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    buffer[at++] = value;
    this.at = at;
  }

  /** Two's complement of 64 bits: a negative number takes ten bytes. */
  int64(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0) {
      this.varint(value);
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    while (rest > 0x7fn) {
      this.buffer[this.at++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.buffer[this.at++] = Number(rest);
  }

  double(value: number): void {
    this.at = this.buffer.writeDoubleLE(value, this.at);
  }

  /** Length and UTF-8 bytes of well-formed text. */
  text(text: string): void {
    const { length } = text;
    this.reserve(length * 3 + NUMBER_ROOM);
    if (length <= SHORT_TEXT) {
      const { buffer } = this;
      const from = this.at + 1;
      let i = 0;
      for (; i < length; i++) {
        const unit = text.charCodeAt(i);
        if (unit > 0x7f) break;
        buffer[from + i] = unit;
      }
      if (i === length) {
        buffer[from - 1] = length;
        this.at = from + length;
        return;
      }
    }
    // The length stands before the text: guessed to be as long as for ASCII, and put right when it is not.
    const from = this.at + varintSize(length);
    const bytes = this.buffer.write(text, from);
    this.prefix(from, bytes);
  }

  bytes(bytes: Uint8Array): void {
    this.reserve(bytes.length + NUMBER_ROOM);
    this.varint(bytes.length);
    this.buffer.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** Leaves room for a length of one byte and gives where the content begins. */
  begin(): number {
    this.reserve(NUMBER_ROOM);
    return ++this.at - this.rowFrom;
  }

  /** The content that began at `from` (as `begin` gave it) ends here: its length goes before it. */
  end(from: number): void {
    const start = this.rowFrom + from;
    const size = this.at - start;
    if (size < 0x80) this.buffer[start - 1] = size;
    else {
      const more = varintSize(size) - 1;
      this.reserve(more + NUMBER_ROOM);
      const moved = this.rowFrom + from;
      this.buffer.copyWithin(moved + more, moved, moved + size);
      this.at = moved - 1;
      this.varint(size);
      this.at += size;
    }
  }

  /** `size` bytes lie at `from`, with room for the shortest length before them. */
  private prefix(from: number, size: number): void {
    const start = this.at;
    const need = start + varintSize(size);
    if (need !== from) this.buffer.copyWithin(need, from, from + size);
    this.varint(size);
    this.at = need + size;
  }
}

function varintSize(value: number): number {
  let size = 1;
  for (; value > 0x7f; value /= 128) size++;
  return size;
}
