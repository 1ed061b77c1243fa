import { SLACK } from './arena';
import { decodeTo, hasEscape } from './escape';

/** One name of a path, as UTF-8. */
@final
export class Segment {
  /** What it is as an index into an array; -1 when it is none. */
  readonly index: i32;

  constructor(
    readonly ptr: usize,
    readonly length: i32,
    /** `*` */
    readonly any: bool,
  ) {
    this.index = indexOf(ptr, length);
  }

  static every(): Segment {
    return new Segment(0, 0, true);
  }

  isSame(other: Segment): bool {
    return (
      this.any == other.any && this.length == other.length && memory.compare(this.ptr, other.ptr, this.length) == 0
    );
  }

  /** Is this the key whose text lies from `from` to `to`? Escapes are decoded first. */
  // @ts-ignore: decorator
  @inline
  isKey(from: usize, to: usize): bool {
    const length = <i32>(to - from);
    if (length == this.length) return sameText(from, this.ptr, length);
    // An escape makes a key longer than what it stands for.
    return length > this.length && hasEscape(from, to) && this.isEscapedKey(from, to);
  }

  private isEscapedKey(from: usize, to: usize): bool {
    const scratch = heap.alloc(to - from);
    const length = <i32>(decodeTo(scratch, from, to) - scratch);
    return length == this.length && memory.compare(scratch, this.ptr, length) == 0;
  }
}

/** Both lie in buffers with the slack that 16-byte loads need. */
// @ts-ignore: decorator
@inline
function sameText(a: usize, b: usize, length: i32): bool {
  if (length > 16) return memory.compare(a, b, length) == 0;
  const differences = i8x16.bitmask(i8x16.ne(v128.load(a), v128.load(b)));
  return (differences & ((1 << length) - 1)) == 0;
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

/** A path that was taken apart once, to be used many times. */
export type Path = Segment[];

/** `customer.email`, `items.*.owner`, `items.0`; `\.` is a dot within a name, `\\` a backslash, `\*` a name `*`. */
export function parsePath(path: string): Path {
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
  const length = String.UTF8.byteLength(name);
  const ptr = heap.alloc(<usize>length + SLACK);
  String.UTF8.encodeUnsafe(changetype<usize>(name), name.length, ptr);
  return new Segment(ptr, length, !literal && name == '*');
}
