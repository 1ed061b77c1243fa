import { Bytes } from './bytes';
import { Json } from './json';
import { Segment, parsePath } from './path';
import { rejectionAddress, rejectionExpected } from './scan';

/** Checks the whole text; null when it is not JSON (then `rejection` says why). */
export function parse(text: Bytes): Json | null {
  return Json.parse(text.ptr, text.ptr + text.length);
}

/** Why the text was not JSON: "at byte 17: expected ',' or '}', got 'x'". */
export function rejection(text: Bytes): string {
  const at = rejectionAddress();
  let got = 'the end';
  if (at < text.ptr + text.length) {
    const byte = load<u8>(at);
    got =
      byte > 0x20 && byte < 0x7f
        ? "'" + String.fromCharCode(byte) + "'"
        : 'byte 0x' + (byte < 16 ? '0' : '') + byte.toString(16);
  }
  return 'at byte ' + (at - text.ptr).toString() + ': expected ' + rejectionExpected() + ', got ' + got;
}

/** `customer.email`, `items.*.owner`, `items.0`; `\\.` is a dot within a name, `\\\\` a backslash, `\\*` a name `*`. */
export function path(text: string): Segment[] {
  return parsePath(text);
}
