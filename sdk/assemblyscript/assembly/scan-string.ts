import { reject } from './rejection';

/*
 * Strings of JSON text: sixteen bytes a step. Loads may reach behind the text, whose buffer has that much slack.
 */

const QUOTE: u8 = 0x22;
const BACKSLASH: u8 = 0x5c;

/** Bits for quote, backslash and, in one signed comparison, control characters (below 0x20) and the bytes of longer
 * UTF-8 sequences (negative): everything that ends a stretch of plain text. */
// @ts-ignore: decorator
@inline
function stopsIn(v: v128): i32 {
  return i8x16.bitmask(
    v128.or(
      v128.or(i8x16.eq(v, i8x16.splat(QUOTE)), i8x16.eq(v, i8x16.splat(BACKSLASH))),
      i8x16.lt_s(v, i8x16.splat(0x20)),
    ),
  );
}

/** `at` is behind the opening quote; returns the closing quote. */
// @ts-ignore: decorator
@inline
export function findQuote(at: usize): usize {
  const stops = stopsIn(v128.load(at));
  const found = at + ctz(stops);
  return stops && load<u8>(found) == QUOTE ? found : findQuoteOn(at, stops);
}

function findQuoteOn(at: usize, stops: i32): usize {
  while (true) {
    while (!stops) stops = stopsIn(v128.load((at += 16)));
    at += ctz(stops);
    // Bytes that are not plain tend to stand together.
    while (true) {
      const byte = load<u8>(at);
      if (byte == QUOTE) return at;
      if (byte == BACKSLASH) at = skipEscape(at);
      else if (byte >= 0x80) at = skipUtf8(at);
      else if (byte < 0x20) return reject(at, byte == 0 ? 'a closing quote' : 'no control character');
      else break;
      if (at == 0) return 0;
    }
    stops = stopsIn(v128.load(at));
  }
}

function skipEscape(at: usize): usize {
  const kind = load<u8>(at, 1);
  if (kind == 0x75) {
    for (let i: usize = 2; i < 6; i++) if (hexDigit(load<u8>(at + i)) < 0) return reject(at + i, 'a hex digit');
    return at + 6;
  }
  const known =
    kind == QUOTE ||
    kind == BACKSLASH ||
    kind == 0x2f || // " \ /
    kind == 0x62 ||
    kind == 0x66 ||
    kind == 0x6e ||
    kind == 0x72 ||
    kind == 0x74; // b f n r t
  return known ? at + 2 : reject(at + 1, 'one of "\\/bfnrtu');
}

/** -1 when it is none. */
export function hexDigit(byte: u8): i32 {
  if (<u8>(byte - 0x30) < 10) return byte - 0x30;
  const letter = byte | 0x20;
  return <u8>(letter - 0x61) < 6 ? letter - 0x61 + 10 : -1;
}

/** One sequence of two to four bytes; shortest forms only, no surrogates (Unicode 15, table 3-7). */
function skipUtf8(at: usize): usize {
  const lead = load<u8>(at);
  const second = load<u8>(at, 1);
  if (lead >= 0xc2 && lead < 0xe0) {
    if (isTail(second)) return at + 2;
  } else if (lead >= 0xe0 && lead < 0xf0) {
    const low: u8 = lead == 0xe0 ? 0xa0 : 0x80;
    const high: u8 = lead == 0xed ? 0x9f : 0xbf;
    if (second >= low && second <= high && isTail(load<u8>(at, 2))) return at + 3;
  } else if (lead >= 0xf0 && lead < 0xf5) {
    const low: u8 = lead == 0xf0 ? 0x90 : 0x80;
    const high: u8 = lead == 0xf4 ? 0x8f : 0xbf;
    if (second >= low && second <= high && isTail(load<u8>(at, 2)) && isTail(load<u8>(at, 3))) return at + 4;
  }
  return reject(at, 'UTF-8');
}

// @ts-ignore: decorator
@inline
function isTail(byte: u8): bool {
  return (byte & 0xc0) == 0x80;
}
