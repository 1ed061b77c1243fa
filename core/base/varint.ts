/*
 * Varints as Kafka writes them (protocol guide, "Variable-length types"): seven bits a byte, least significant first.
 * Signed ones are zigzag encoded: 0, -1, 1, -2 become 0, 1, 2, 3. Values are kept to the safe integers: everything the
 * protocol and the log write this way (lengths, offset deltas, timestamp deltas, decimal counts) is far below 2^53.
 */

/** A position in bytes that readers move forward. */
export interface Cursor {
  offset: number;
}

/** Reads an unsigned varint; throws RangeError when it runs past `end` or is longer than ten bytes. */
export function readUnsigned(bytes: Uint8Array, at: Cursor, end = bytes.length): number {
  let value = 0;
  let factor = 1;
  for (let i = 0; i < 10; i++) {
    if (at.offset >= end) throw new RangeError('varint runs past the end');
    const byte = bytes[at.offset++] as number;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
    factor *= 128;
  }
  throw new RangeError('varint is longer than ten bytes');
}

/** Reads a zigzag varint (int32 or int64 that is a safe integer). */
export function readVarint(bytes: Uint8Array, at: Cursor, end = bytes.length): number {
  const raw = readUnsigned(bytes, at, end);
  return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2;
}

export function unsignedSize(value: number): number {
  let size = 1;
  while (value >= 128) {
    value = Math.floor(value / 128);
    size++;
  }
  return size;
}

export function varintSize(value: number): number {
  return unsignedSize(value < 0 ? -2 * value - 1 : 2 * value);
}

/** Writes at `offset`; returns the offset behind it. */
export function writeUnsigned(target: Uint8Array, offset: number, value: number): number {
  while (value >= 128) {
    target[offset++] = (value % 128) | 0x80;
    value = Math.floor(value / 128);
  }
  target[offset++] = value;
  return offset;
}

export function writeVarint(target: Uint8Array, offset: number, value: number): number {
  return writeUnsigned(target, offset, value < 0 ? -2 * value - 1 : 2 * value);
}
