import { reject } from './rejection';
import { findQuote } from './scan-string';

export { reject, seal, unseal } from './rejection';
export { findQuote } from './scan-string';

/*
 * Walks JSON text (RFC 8259, UTF-8) without building anything. Each function takes the address where its element
 * begins and returns the address behind it, or 0 after `reject`.
 *
 * While text is checked it is sealed (see rejection.ts), so that no step has to compare with an end. Text that was
 * checked once is walked without.
 */

/** More levels than this are refused: walking needs one byte each. */
export const MAX_DEPTH: i32 = 1000;
const levels = memory.data(1000);

const QUOTE: u8 = 0x22;
const COMMA: u8 = 0x2c;
const COLON: u8 = 0x3a;
const OPEN_BRACE: u8 = 0x7b;
/** `":` and `,"` as they are loaded: the usual cases of text without white space. */
const QUOTE_COLON: u16 = 0x3a22;
const COMMA_QUOTE: u16 = 0x222c;

// @ts-ignore: decorator
@inline
export function skipSpace(at: usize): usize {
  return load<u8>(at) > 0x20 ? at : skipSpaces(at);
}

function skipSpaces(at: usize): usize {
  while (true) {
    const byte = load<u8>(at);
    if (byte != 0x20 && byte != 0x0a && byte != 0x0d && byte != 0x09) return at;
    at++;
  }
}

// @ts-ignore: decorator
@inline
function isDigit(byte: u8): bool {
  return <u8>(byte - 0x30) < 10;
}

function skipDigits(at: usize): usize {
  if (!isDigit(load<u8>(at))) return reject(at, 'a digit');
  do at++;
  while (isDigit(load<u8>(at)));
  return at;
}

/** `at` is on `-` or a digit. */
function skipNumber(at: usize): usize {
  if (load<u8>(at) == 0x2d) at++;
  if (load<u8>(at) == 0x30) at++;
  else at = skipDigits(at);
  if (at != 0 && load<u8>(at) == 0x2e) at = skipDigits(at + 1);
  if (at != 0 && (load<u8>(at) | 0x20) == 0x65) {
    at++;
    if (load<u8>(at) == 0x2b || load<u8>(at) == 0x2d) at++;
    at = skipDigits(at);
  }
  return at;
}

/** true, false, null: compared as four bytes. */
function skipWord(at: usize): usize {
  const word = load<u32>(at);
  if (word == 0x65757274 || word == 0x6c6c756e) return at + 4;
  if (word == 0x736c6166 && load<u8>(at, 4) == 0x65) return at + 5;
  return reject(at, 'a value');
}

/** `at` is where a key begins; returns its opening quote, or 0. */
// @ts-ignore: decorator
@inline
export function expectKey(at: usize): usize {
  return load<u8>(at) == QUOTE ? at : reject(at, 'a key');
}

/** `quote` is a key's closing quote, or 0; returns the first byte of the value. */
// @ts-ignore: decorator
@inline
export function skipColon(quote: usize): usize {
  if (load<u16>(quote) == QUOTE_COLON && load<u8>(quote, 2) > 0x20) return quote + 2;
  return skipSpacedColon(quote);
}

function skipSpacedColon(quote: usize): usize {
  if (quote == 0) return 0;
  const at = skipSpace(quote + 1);
  return load<u8>(at) == COLON ? skipSpace(at + 1) : reject(at, "':'");
}

/** A value of any kind. `at` is on its first byte. */
// @ts-ignore: decorator
@inline
export function skipValue(at: usize): usize {
  const byte = load<u8>(at);
  if (byte == QUOTE) {
    const quote = findQuote(at + 1);
    return quote == 0 ? 0 : quote + 1;
  }
  // { and [ differ by 0x20.
  return (byte | 0x20) == OPEN_BRACE ? skipTree(at) : skipScalar(at, byte);
}

function skipScalar(at: usize, byte: u8): usize {
  return byte == 0x2d || isDigit(byte) ? skipNumber(at) : skipWord(at);
}

/** An object or array, walked without recursion: `levels` holds the brackets that are open. */
function skipTree(at: usize): usize {
  let depth = 0;
  let open: u8 = 0;
  while (true) {
    const byte = load<u8>(at);
    if ((byte | 0x20) == OPEN_BRACE) {
      const bracket = at;
      at = skipSpace(at + 1);
      // } and ] are { and [ + 2.
      if (load<u8>(at) == byte + 2) at++;
      else {
        if (depth >= MAX_DEPTH) return reject(bracket, 'at most 1000 levels');
        store<u8>(levels + depth++, open);
        open = byte;
        if (byte == OPEN_BRACE) {
          at = expectKey(at);
          if (at != 0) at = skipColon(findQuote(at + 1));
          if (at == 0) return 0;
        }
        continue;
      }
    } else {
      if (byte == QUOTE) {
        at = findQuote(at + 1);
        if (at != 0) at++;
      } else at = skipScalar(at, byte);
      if (at == 0) return 0;
    }
    while (true) {
      if (depth == 0) return at;
      if (load<u16>(at) == COMMA_QUOTE && open == OPEN_BRACE) {
        at = skipColon(findQuote(at + 2));
        if (at == 0) return 0;
        break;
      }
      at = skipSpace(at);
      const next = load<u8>(at);
      if (next == COMMA) {
        at = skipSpace(at + 1);
        if (open == OPEN_BRACE) {
          at = expectKey(at);
          if (at != 0) at = skipColon(findQuote(at + 1));
          if (at == 0) return 0;
        }
        break;
      }
      if (next != open + 2) return reject(at, open == OPEN_BRACE ? "',' or '}'" : "',' or ']'");
      open = load<u8>(levels + --depth);
      at++;
    }
  }
}

/** Nothing but white space is left of the text that ends at `end`. */
export function onlySpaceLeft(at: usize, end: usize): bool {
  at = skipSpace(at);
  if (at == end) return true;
  reject(at, 'the end');
  return false;
}
