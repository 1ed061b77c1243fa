/**
 * The protobuf wire format, for rows: a cursor over one buffer, kept in module variables because a row is read millions
 * of times. Varints are at most ten bytes, base 128, least significant group first.
 * Source: https://protobuf.dev/programming-guides/encoding
 */

/** Bytes that are no protobuf message. */
export class MalformedRow extends Error {
  override readonly name = 'MalformedRow';
}

let bytes: Uint8Array = new Uint8Array(0);
let view: DataView = new DataView(new ArrayBuffer(0));
let position = 0;
let limit = 0;

export function open(buffer: Uint8Array): void {
  if (buffer === bytes) return;
  bytes = buffer;
  view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

export function seek(from: number, to: number): void {
  position = from;
  limit = to;
}

export const at = (): number => position;
export const more = (): boolean => position < limit;
export const end = (): number => limit;

const truncated = (): never => {
  throw new MalformedRow('Cannot parse the row: it ends inside a field');
};

/** A tag or a length. */
export function readSmall(): number {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    if (position >= limit) return truncated();
    const byte = bytes[position++] as number;
    value += (byte & 127) * 2 ** shift;
    if (byte < 128) return value;
  }
  throw new MalformedRow('Cannot parse the row: a length or tag is too long');
}

export function skipVarint(): void {
  for (let i = 0; i < 10; i++) {
    if (position >= limit) truncated();
    if ((bytes[position++] as number) < 128) return;
  }
  throw new MalformedRow('Cannot parse the row: a number has more than ten bytes');
}

/** The 64 bits as a signed number, rounded to a double: enough to see that it is far from a limit. */
export function readApproximately(): number {
  let low = 0;
  let high = 0;
  for (let i = 0; i < 10; i++) {
    if (position >= limit) truncated();
    const byte = bytes[position++] as number;
    const group = byte & 127;
    if (i < 4) low |= group << (7 * i);
    else if (i === 4) {
      low |= group << 28;
      high = group >>> 4;
    } else high |= group << (7 * i - 32);
    if (byte < 128) return high * 4_294_967_296 + (low >>> 0);
  }
  throw new MalformedRow('Cannot parse the row: a number has more than ten bytes');
}

/** The 64 bits, unsigned. */
export function readVarint(): bigint {
  let low = 0;
  let high = 0;
  for (let i = 0; i < 10; i++) {
    if (position >= limit) truncated();
    const byte = bytes[position++] as number;
    const group = byte & 127;
    if (i < 4) low |= group << (7 * i);
    else if (i === 4) {
      low |= group << 28;
      high = group >>> 4;
    } else high |= group << (7 * i - 32);
    if (byte < 128) return high === 0 ? BigInt(low >>> 0) : (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  }
  throw new MalformedRow('Cannot parse the row: a number has more than ten bytes');
}

function take(count: number): number {
  const from = position;
  position += count;
  if (position > limit) truncated();
  return from;
}

export const skip = (count: number): number => take(count);
export const readFixed32 = (): number => view.getUint32(take(4), true);
export const readFixed64 = (): bigint => view.getBigUint64(take(8), true);
export const readFloat = (): number => view.getFloat32(take(4), true);
export const readDouble = (): number => view.getFloat64(take(8), true);

/** Whether the bytes are all below 128, so that no further check of UTF-8 is needed. */
export function isAscii(from: number, to: number): boolean {
  let i = from;
  for (; i + 4 <= to; i += 4) if ((view.getUint32(i) & 0x80808080) !== 0) return false;
  for (; i < to; i++) if ((bytes[i] as number) > 127) return false;
  return true;
}

export const slice = (from: number, to: number): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from);
