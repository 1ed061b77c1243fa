import { copy } from './copy';

/*
 * Zigzag varints, as Kafka's records use them for lengths. `cursor` stands behind the last byte read: a second
 * return value without an object.
 */
export let cursor: usize = 0;

// @ts-ignore: decorator
@inline
export function readVarint(at: usize): i32 {
  const first = <u32>load<u8>(at);
  if (first < 0x80) {
    cursor = at + 1;
    return <i32>(first >>> 1) ^ -(<i32>first & 1);
  }
  return readLongVarint(at);
}

function readLongVarint(at: usize): i32 {
  let value: u32 = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = <u32>load<u8>(at++);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  cursor = at;
  return <i32>(value >>> 1) ^ -(<i32>value & 1);
}

/** Returns the address behind it. */
// @ts-ignore: decorator
@inline
export function writeVarint(at: usize, value: i32): usize {
  let rest = <u32>((value << 1) ^ (value >> 31));
  while (rest >= 0x80) {
    store<u8>(at++, rest | 0x80);
    rest >>>= 7;
  }
  store<u8>(at, rest);
  return at + 1;
}

/** A length and so many bytes; only the length when it is -1 (null). */
// @ts-ignore: decorator
@inline
export function writeSized(to: usize, from: usize, length: i32): usize {
  to = writeVarint(to, length);
  if (length <= 0) return to;
  copy(to, from, length);
  return to + length;
}
