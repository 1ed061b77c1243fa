/*
 * Walks JSON text (RFC 8259, UTF-8) without building anything. Every function takes the address where its element
 * begins and the text's end, and returns the address behind the element, or 0 after `reject`. Loads of 16 bytes may
 * reach behind the end: every buffer of the SDK has that much slack, and what is found there is not believed.
 */

/** More levels than this are refused: walking needs one byte each. */
export const MAX_DEPTH: i32 = 1000;
const levels = memory.data(1000);

const QUOTE: u8 = 0x22;
const BACKSLASH: u8 = 0x5c;

let rejectedAt: usize = 0;
let rejectedExpected: string = '';

/** Where the last rejected text went wrong, and what should have stood there. */
export function rejectionAddress(): usize {
  return rejectedAt;
}
export function rejectionExpected(): string {
  return rejectedExpected;
}

export function reject(at: usize, expected: string): usize {
  rejectedAt = at;
  rejectedExpected = expected;
  return 0;
}

// @ts-ignore: decorator
@inline
export function skipSpace(at: usize, end: usize): usize {
  if (at < end && load<u8>(at) <= 0x20) return skipSpaces(at, end);
  return at;
}

function skipSpaces(at: usize, end: usize): usize {
  while (at < end) {
    const byte = load<u8>(at);
    if (byte != 0x20 && byte != 0x0a && byte != 0x0d && byte != 0x09) break;
    at++;
  }
  return at;
}

/** `at` is behind the opening quote; returns the closing quote. Sixteen bytes a step: quote, backslash, and, in one
 * signed comparison, control characters (below 0x20) and bytes of longer UTF-8 sequences (negative) stop it. */
// @ts-ignore: decorator
@inline
export function findQuote(at: usize, end: usize): usize {
  const v = v128.load(at);
  const stops = i8x16.bitmask(
    v128.or(
      v128.or(i8x16.eq(v, i8x16.splat(QUOTE)), i8x16.eq(v, i8x16.splat(BACKSLASH))),
      i8x16.lt_s(v, i8x16.splat(0x20)),
    ),
  );
  if (stops) {
    const found = at + ctz(stops);
    if (load<u8>(found) == QUOTE && found < end) return found;
    return findQuoteSlowly(found, end);
  }
  return findQuoteFar(at + 16, end);
}

function findQuoteFar(at: usize, end: usize): usize {
  while (at < end) {
    const v = v128.load(at);
    const stops = i8x16.bitmask(
      v128.or(
        v128.or(i8x16.eq(v, i8x16.splat(QUOTE)), i8x16.eq(v, i8x16.splat(BACKSLASH))),
        i8x16.lt_s(v, i8x16.splat(0x20)),
      ),
    );
    if (stops) {
      const found = at + ctz(stops);
      if (load<u8>(found) == QUOTE && found < end) return found;
      return findQuoteSlowly(found, end);
    }
    at += 16;
  }
  return reject(end, 'a closing quote');
}

/** Stands on a byte that is not plain. */
function findQuoteSlowly(at: usize, end: usize): usize {
  while (at < end) {
    const byte = load<u8>(at);
    if (byte == QUOTE) return at;
    if (byte == BACKSLASH) at = skipEscape(at, end);
    else if (byte < 0x20) return reject(at, 'no control character in a string');
    else if (byte >= 0x80) at = skipUtf8(at, end);
    else return findQuoteFar(at, end);
    if (at == 0) return 0;
  }
  return reject(end, 'a closing quote');
}

function skipEscape(at: usize, end: usize): usize {
  if (at + 1 >= end) return reject(end, 'an escape');
  const kind = load<u8>(at, 1);
  if (kind == 0x75 /* u */) {
    for (let i: usize = 2; i < 6; i++) {
      if (at + i >= end) return reject(end, 'four hex digits');
      if (hexDigit(load<u8>(at + i)) < 0) return reject(at + i, 'a hex digit');
    }
    return at + 6;
  }
  // " \ / b f n r t
  if (kind == 0x22 || kind == 0x5c || kind == 0x2f || kind == 0x62 || kind == 0x66 || kind == 0x6e || kind == 0x72 || kind == 0x74) {
    return at + 2;
  }
  return reject(at + 1, 'one of "\\/bfnrtu');
}

/** -1 when it is none. */
// @ts-ignore: decorator
@inline
export function hexDigit(byte: u8): i32 {
  if (<u8>(byte - 0x30) < 10) return byte - 0x30;
  const letter = byte | 0x20;
  if (<u8>(letter - 0x61) < 6) return letter - 0x61 + 10;
  return -1;
}

/** One sequence of two to four bytes; shortest forms only, no surrogates (Unicode 15, table 3-7). */
function skipUtf8(at: usize, end: usize): usize {
  const lead = load<u8>(at);
  const left = end - at;
  if (lead >= 0xc2 && lead < 0xe0) {
    if (left >= 2 && isTail(load<u8>(at, 1))) return at + 2;
  } else if (lead >= 0xe0 && lead < 0xf0) {
    const second = load<u8>(at, 1);
    const low: u8 = lead == 0xe0 ? 0xa0 : 0x80;
    const high: u8 = lead == 0xed ? 0x9f : 0xbf;
    if (left >= 3 && second >= low && second <= high && isTail(load<u8>(at, 2))) return at + 3;
  } else if (lead >= 0xf0 && lead < 0xf5) {
    const second = load<u8>(at, 1);
    const low: u8 = lead == 0xf0 ? 0x90 : 0x80;
    const high: u8 = lead == 0xf4 ? 0x8f : 0xbf;
    if (left >= 4 && second >= low && second <= high && isTail(load<u8>(at, 2)) && isTail(load<u8>(at, 3))) return at + 4;
  }
  return reject(at, 'UTF-8');
}

// @ts-ignore: decorator
@inline
function isTail(byte: u8): bool {
  return (byte & 0xc0) == 0x80;
}

// @ts-ignore: decorator
@inline
function isDigit(byte: u8): bool {
  return <u8>(byte - 0x30) < 10;
}

function skipDigits(at: usize, end: usize): usize {
  if (at >= end || !isDigit(load<u8>(at))) return reject(at, 'a digit');
  do at++;
  while (at < end && isDigit(load<u8>(at)));
  return at;
}

/** `at` is on `-` or a digit. */
function skipNumber(at: usize, end: usize): usize {
  if (load<u8>(at) == 0x2d) at++;
  if (at < end && load<u8>(at) == 0x30) at++;
  else at = skipDigits(at, end);
  if (at != 0 && at < end && load<u8>(at) == 0x2e) at = skipDigits(at + 1, end);
  if (at != 0 && at < end && (load<u8>(at) | 0x20) == 0x65) {
    at++;
    if (at < end && (load<u8>(at) == 0x2b || load<u8>(at) == 0x2d)) at++;
    at = skipDigits(at, end);
  }
  return at;
}

/** true, false, null: compared as four bytes. */
function skipWord(at: usize, end: usize): usize {
  const left = end - at;
  const word = load<u32>(at);
  if (left >= 4 && word == 0x65757274) return at + 4;
  if (left >= 4 && word == 0x6c6c756e) return at + 4;
  if (left >= 5 && word == 0x736c6166 && load<u8>(at, 4) == 0x65) return at + 5;
  return reject(at, 'a value');
}

/** Stands on the opening quote of a key; returns the first byte of the value. */
// @ts-ignore: decorator
@inline
function skipKey(at: usize, end: usize): usize {
  at = skipSpace(at, end);
  if (at >= end || load<u8>(at) != QUOTE) return reject(at, 'a key');
  return skipColon(findQuote(at + 1, end), end);
}

/** `at` is on a key's closing quote, or 0; returns the first byte of the value. */
// @ts-ignore: decorator
@inline
export function skipColon(at: usize, end: usize): usize {
  if (at == 0) return 0;
  at = skipSpace(at + 1, end);
  if (at >= end || load<u8>(at) != 0x3a) return reject(at, "':'");
  return skipSpace(at + 1, end);
}

/** A value of any kind. `at` is on its first byte; objects and arrays are walked without recursion. */
// @ts-ignore: decorator
@inline
export function skipValue(at: usize, end: usize): usize {
  if (at < end) {
    const byte = load<u8>(at);
    if (byte == QUOTE) {
      const quote = findQuote(at + 1, end);
      return quote == 0 ? 0 : quote + 1;
    }
    if ((byte | 0x20) != 0x7b) return skipScalar(at, end, byte);
  }
  return skipTree(at, end);
}

function skipScalar(at: usize, end: usize, byte: u8): usize {
  return byte == 0x2d || isDigit(byte) ? skipNumber(at, end) : skipWord(at, end);
}

function skipTree(at: usize, end: usize): usize {
  let depth = 0;
  while (true) {
    if (at >= end) return reject(end, 'a value');
    const byte = load<u8>(at);
    // { and [ differ from } and ] by 2, and from each other by 0x20.
    if ((byte | 0x20) == 0x7b) {
      const opening = at;
      at = skipSpace(at + 1, end);
      if (at < end && load<u8>(at) == byte + 2) at++;
      else {
        if (depth >= MAX_DEPTH) return reject(opening, 'at most 1000 levels');
        store<u8>(levels + depth++, byte);
        if (byte == 0x7b) {
          at = skipKey(at, end);
          if (at == 0) return 0;
        }
        continue;
      }
    } else {
      if (byte == QUOTE) {
        at = findQuote(at + 1, end);
        if (at != 0) at++;
      } else at = skipScalar(at, end, byte);
      if (at == 0) return 0;
    }
    while (true) {
      if (depth == 0) return at;
      const open = load<u8>(levels + depth - 1);
      at = skipSpace(at, end);
      const next = at < end ? load<u8>(at) : 0;
      if (next == 0x2c) {
        at = skipSpace(at + 1, end);
        if (open == 0x7b) {
          at = skipKey(at, end);
          if (at == 0) return 0;
        }
        break;
      }
      if (next != open + 2) return reject(at, open == 0x7b ? "',' or '}'" : "',' or ']'");
      depth--;
      at++;
    }
  }
}

/** Nothing but white space is left. */
export function onlySpaceLeft(at: usize, end: usize): bool {
  if (skipSpace(at, end) == end) return true;
  reject(skipSpace(at, end), 'the end');
  return false;
}
