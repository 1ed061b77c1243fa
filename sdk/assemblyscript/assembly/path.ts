import { hexDigit } from './scan';

/** One name of a path, as UTF-8. */
@final
export class Segment {
  /** What it is as an index into an array; -1 when it is none. */
  index: i32 = -1;
  any: bool = false;

  constructor(
    public ptr: usize,
    public length: i32,
  ) {
    this.any = length == 1 && load<u8>(ptr) == 0x2a;
    this.index = indexOf(ptr, length);
  }

  /** `*` */
  static every(): Segment {
    const every = new Segment(0, 0);
    every.any = true;
    return every;
  }

  isSame(other: Segment): bool {
    return (
      this.any == other.any && this.length == other.length && memory.compare(this.ptr, other.ptr, this.length) == 0
    );
  }

  /** Is this the key that lies between the quotes `from - 1` and `to`? Escapes are decoded first. */
  // @ts-ignore: decorator
  @inline
  isKey(from: usize, to: usize): bool {
    const length = <i32>(to - from);
    if (length == this.length) {
      let i = 0;
      for (; i < length; i++) if (load<u8>(from + i) != load<u8>(this.ptr + i)) break;
      if (i == length) return true;
    }
    // An escape makes a key longer than what it stands for.
    return length > this.length && hasEscape(from, to) && this.isEscapedKey(from, to);
  }

  private isEscapedKey(from: usize, to: usize): bool {
    const scratch = heap.alloc(to - from);
    const length = <i32>(decodeTo(scratch, from, to) - scratch);
    return length == this.length && memory.compare(scratch, this.ptr, length) == 0;
  }
}

function indexOf(ptr: usize, length: i32): i32 {
  if (length == 0 || length > 8) return -1;
  let index = 0;
  for (let i = 0; i < length; i++) {
    const digit = <i32>load<u8>(ptr + i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    index = index * 10 + digit;
  }
  return index;
}

export function hasEscape(from: usize, to: usize): bool {
  for (; from < to; from++) if (load<u8>(from) == 0x5c) return true;
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
      store<u8>(
        target++,
        kind == 0x62 ? 8 : kind == 0x66 ? 12 : kind == 0x6e ? 10 : kind == 0x72 ? 13 : kind == 0x74 ? 9 : kind,
      );
      continue;
    }
    let code = fourHex(from);
    from += 4;
    if ((code & 0xf800) == 0xd800) {
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

/** `customer.email`, `items.*.owner`, `items.0`; `\.` is a dot within a name, `\\` a backslash, `\*` a name `*`. */
export function parsePath(path: string): Segment[] {
  const segments: Segment[] = [];
  let name = '';
  let literal = false;
  for (let i = 0, n = path.length; i < n; i++) {
    const unit = path.charCodeAt(i);
    if (unit == 0x5c && i + 1 < n) {
      name += path.charAt(++i);
      literal = true;
    } else if (unit == 0x2e) {
      segments.push(segmentOf(name, literal));
      name = '';
      literal = false;
    } else name += path.charAt(i);
  }
  segments.push(segmentOf(name, literal));
  return segments;
}

function segmentOf(name: string, literal: bool): Segment {
  const buffer = String.UTF8.encode(name);
  const segment = new Segment(changetype<usize>(buffer), buffer.byteLength);
  if (literal) segment.any = false;
  return segment;
}
