import { hexDigit } from './scan-string';

/*
 * Between the text of a JSON string and the UTF-8 that it stands for.
 */

/** Is there a backslash in it? May look at the 15 bytes behind. */
export function hasEscape(from: usize, to: usize): bool {
  for (; from < to; from += 16) {
    const found = i8x16.bitmask(i8x16.eq(v128.load(from), i8x16.splat(0x5c)));
    if (found) return from + ctz(found) < to;
  }
  return false;
}

/**
 * Decodes the escapes of a string's text (checked before) into UTF-8, which is never longer. Returns the address
 * behind it. A surrogate without its pair becomes U+FFFD, as when JavaScript encodes it.
 */
export function decodeTo(target: usize, from: usize, to: usize): usize {
  while (from < to) {
    const byte = load<u8>(from);
    if (byte != 0x5c) {
      store<u8>(target++, byte);
      from++;
      continue;
    }
    const kind = load<u8>(from, 1);
    from += 2;
    if (kind != 0x75) {
      store<u8>(target++, shortEscape(kind));
      continue;
    }
    let code = fourHex(from);
    from += 4;
    if ((code & 0xf800) == 0xd800) {
      // A high surrogate and the escape of a low one are one character.
      const paired = code < 0xdc00 && from + 6 <= to && load<u16>(from) == 0x755c;
      const low = paired ? fourHex(from + 2) : 0;
      if ((low & 0xfc00) == 0xdc00) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        from += 6;
      } else code = 0xfffd;
    }
    target = writeUtf8(target, code);
  }
  return target;
}

function shortEscape(kind: u8): u8 {
  switch (kind) {
    case 0x62:
      return 0x08;
    case 0x66:
      return 0x0c;
    case 0x6e:
      return 0x0a;
    case 0x72:
      return 0x0d;
    case 0x74:
      return 0x09;
    default:
      return kind;
  }
}

function fourHex(at: usize): i32 {
  let code = 0;
  for (let i: usize = 0; i < 4; i++) code = (code << 4) | hexDigit(load<u8>(at + i));
  return code;
}

function writeUtf8(target: usize, code: i32): usize {
  if (code < 0x80) {
    store<u8>(target, code);
    return target + 1;
  }
  if (code < 0x800) {
    store<u8>(target, 0xc0 | (code >> 6));
    store<u8>(target, 0x80 | (code & 0x3f), 1);
    return target + 2;
  }
  if (code < 0x10000) {
    store<u8>(target, 0xe0 | (code >> 12));
    store<u8>(target, 0x80 | ((code >> 6) & 0x3f), 1);
    store<u8>(target, 0x80 | (code & 0x3f), 2);
    return target + 3;
  }
  store<u8>(target, 0xf0 | (code >> 18));
  store<u8>(target, 0x80 | ((code >> 12) & 0x3f), 1);
  store<u8>(target, 0x80 | ((code >> 6) & 0x3f), 2);
  store<u8>(target, 0x80 | (code & 0x3f), 3);
  return target + 4;
}

/** At most this many bytes are written by `quoteTo`. */
export function quotedSize(length: i32): i32 {
  return 2 + 6 * length;
}

/** Writes UTF-8 as a JSON string, quotes included; returns the address behind it. */
export function quoteTo(target: usize, from: usize, to: usize): usize {
  store<u8>(target++, 0x22);
  for (; from < to; from++) {
    const byte = load<u8>(from);
    if (byte == 0x22 || byte == 0x5c) {
      store<u8>(target++, 0x5c);
      store<u8>(target++, byte);
    } else if (byte < 0x20) target = writeControl(target, byte);
    else store<u8>(target++, byte);
  }
  store<u8>(target, 0x22);
  return target + 1;
}

function writeControl(target: usize, byte: u8): usize {
  let kind: u8 = 0;
  if (byte == 0x08) kind = 0x62;
  else if (byte == 0x0c) kind = 0x66;
  else if (byte == 0x0a) kind = 0x6e;
  else if (byte == 0x0d) kind = 0x72;
  else if (byte == 0x09) kind = 0x74;
  store<u8>(target, 0x5c);
  if (kind != 0) {
    store<u8>(target, kind, 1);
    return target + 2;
  }
  store<u32>(target, 0x30303075, 1); // u000, of which the last two digits follow
  store<u8>(target, 0x30 + (byte >>> 4), 4);
  const low = byte & 15;
  store<u8>(target, low + (low < 10 ? 0x30 : 0x57), 5);
  return target + 6;
}
