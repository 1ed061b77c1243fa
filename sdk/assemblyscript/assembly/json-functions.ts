import { Bytes } from './bytes';
import { quoteTo, quotedSize } from './escape';
import { Json } from './json';
import { numberText } from './number';
import { Path, parsePath } from './path';
import { rejectionAddress, rejectionExpected } from './rejection';

/** Checks the whole text; null when it is not JSON (then `rejection` says why). */
export function parse(text: Bytes): Json | null {
  return Json.parse(text.ptr, text.ptr + max(text.length, 0));
}

/** Why the text was not JSON: "at byte 17: expected ',' or '}', got 'x'". */
export function rejection(text: Bytes): string {
  const at = rejectionAddress();
  let got = 'the end';
  if (at < text.ptr + max(text.length, 0)) {
    const byte = load<u8>(at);
    const hex = (byte < 16 ? '0x0' : '0x') + byte.toString(16);
    got = byte > 0x20 && byte < 0x7f ? "'" + String.fromCharCode(byte) + "'" : 'byte ' + hex;
  }
  return 'at byte ' + (at - text.ptr).toString() + ': expected ' + rejectionExpected() + ', got ' + got;
}

/** A path taken apart, for `Json.find`: `customer.email`, `items.0`; `\.` is a
 * dot within a name, `\\` a backslash, `\*` a name `*`. */
export function path(text: string): Path {
  return parsePath(text);
}

/** JSON text of a string, a number, true or false, for `Json.set`. */
export function quote(text: string): Bytes {
  return quoteBytes(Bytes.of(text));
}

/** The same of UTF-8 bytes. */
export function quoteBytes(text: Bytes): Bytes {
  const target = heap.alloc(quotedSize(text.length));
  return new Bytes(target, <i32>(quoteTo(target, text.ptr, text.ptr + text.length) - target));
}

export function number(value: f64): Bytes {
  return Bytes.of(numberText(value));
}

export function bool(value: boolean): Bytes {
  return Bytes.of(value ? 'true' : 'false');
}
