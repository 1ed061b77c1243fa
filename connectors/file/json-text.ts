/*
 * Is this JSON text (RFC 8259)? Checked on the bytes, without making strings and objects of them: the sink's share of
 * the event loop is the broker's loss. Whether the bytes are UTF-8 is the caller's question.
 */

/** What a byte may begin or be. */
const SPACE = 1;
const DIGIT = 2;
const KIND = new Uint8Array(256);
for (const byte of [0x20, 0x09, 0x0a, 0x0d]) KIND[byte] = SPACE;
for (let byte = 0x30; byte <= 0x39; byte++) KIND[byte] = DIGIT;

/** Bytes that end the quick walk through a string: quote, backslash, control characters. */
const STOPS = new Uint8Array(256);
STOPS.fill(1, 0, 0x20);
STOPS[0x22] = 1;
STOPS[0x5c] = 1;

const IS_HEX = new Uint8Array(256);
for (const byte of Buffer.from('0123456789abcdefABCDEF')) IS_HEX[byte] = 1;
const ESCAPED = new Set(Buffer.from('"\\/bfnrt'));

const MOST_DEPTH = 1000;
const BAD = -1;

/** True when `bytes` is one JSON value with nothing but white space around it, nested at most 1,000 deep. */
export function isJsonText(bytes: Uint8Array): boolean {
  const isObject: boolean[] = [];
  let at = skipSpace(bytes, 0);
  for (;;) {
    // A value begins here.
    const byte = bytes[at];
    if (byte === 0x7b || byte === 0x5b) {
      if (isObject.length >= MOST_DEPTH) return false;
      at = skipSpace(bytes, at + 1);
      if (bytes[at] === byte + 2) at++;
      else {
        isObject.push(byte === 0x7b);
        if (byte === 0x7b) at = name(bytes, at);
        if (at === BAD) return false;
        continue;
      }
    } else at = scalar(bytes, at);
    if (at === BAD) return false;
    // A value has ended: close what ends with it, or go on to the next.
    for (;;) {
      at = skipSpace(bytes, at);
      if (isObject.length === 0) return at === bytes.length;
      const inObject = isObject[isObject.length - 1] as boolean;
      const next = bytes[at++];
      if (next === 0x2c) {
        at = skipSpace(bytes, at);
        if (inObject) at = name(bytes, at);
        if (at === BAD) return false;
        break;
      }
      if (next !== (inObject ? 0x7d : 0x5d)) return false;
      isObject.pop();
    }
  }
}

/** A member's name with its colon; the place where its value begins. */
function name(bytes: Uint8Array, at: number): number {
  if (bytes[at] !== 0x22) return BAD;
  at = string(bytes, at);
  if (at === BAD) return BAD;
  at = skipSpace(bytes, at);
  return bytes[at] === 0x3a ? skipSpace(bytes, at + 1) : BAD;
}

function scalar(bytes: Uint8Array, at: number): number {
  switch (bytes[at] ?? 0) {
    case 0x22:
      return string(bytes, at);
    case 0x74:
      return literal(bytes, at, TRUE);
    case 0x66:
      return literal(bytes, at, FALSE);
    case 0x6e:
      return literal(bytes, at, NULL);
    default:
      return number(bytes, at);
  }
}

const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');
const NULL = Buffer.from('null');

function literal(bytes: Uint8Array, at: number, word: Uint8Array): number {
  for (const byte of word) if (bytes[at++] !== byte) return BAD;
  return at;
}

function string(bytes: Uint8Array, at: number): number {
  const { length } = bytes;
  for (at++; at < length; at++) {
    const byte = bytes[at] as number;
    if (STOPS[byte] === 0) continue;
    if (byte === 0x22) return at + 1;
    if (byte !== 0x5c) return BAD;
    const escaped = bytes[++at] as number;
    if (escaped === 0x75) {
      for (let i = 0; i < 4; i++) if (IS_HEX[bytes[++at] as number] !== 1) return BAD;
    } else if (!ESCAPED.has(escaped)) return BAD;
  }
  return BAD;
}

function number(bytes: Uint8Array, at: number): number {
  if (bytes[at] === 0x2d) at++;
  if (bytes[at] === 0x30) at++;
  else {
    at = digits(bytes, at);
    if (at === BAD) return BAD;
  }
  if (bytes[at] === 0x2e) {
    at = digits(bytes, at + 1);
    if (at === BAD) return BAD;
  }
  if (bytes[at] === 0x65 || bytes[at] === 0x45) {
    at++;
    if (bytes[at] === 0x2b || bytes[at] === 0x2d) at++;
    at = digits(bytes, at);
  }
  return at;
}

/** At least one digit. */
function digits(bytes: Uint8Array, at: number): number {
  const from = at;
  while (at < bytes.length && KIND[bytes[at] as number] === DIGIT) at++;
  return at > from ? at : BAD;
}

function skipSpace(bytes: Uint8Array, at: number): number {
  while (at < bytes.length && KIND[bytes[at] as number] === SPACE) at++;
  return at;
}
