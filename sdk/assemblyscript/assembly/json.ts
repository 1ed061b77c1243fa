import { Bytes } from './bytes';
import { Segment, decodeTo, hasEscape, parsePath } from './path';
import {
  findQuote,
  onlySpaceLeft,
  rejectionAddress,
  rejectionExpected,
  reject,
  skipColon,
  skipSpace,
  skipValue,
} from './scan';

/** A value in JSON text: a view, nothing is copied. `exists` is false for what was not found. */
@final
export class Json {
  constructor(
    public ptr: usize,
    public end: usize,
  ) {}

  /** Checks the whole text; null when it is not JSON (then `rejection` says why). */
  static parse(from: usize, to: usize): Json | null {
    const start = skipSpace(from, to);
    const end = skipValue(start, to);
    if (end == 0 || !onlySpaceLeft(end, to)) return null;
    return new Json(start, end);
  }

  get exists(): bool {
    return this.ptr != 0;
  }
  get isObject(): bool {
    return this.first == 0x7b;
  }
  get isArray(): bool {
    return this.first == 0x5b;
  }
  get isString(): bool {
    return this.first == 0x22;
  }
  get isNull(): bool {
    return this.first == 0x6e;
  }
  get isBool(): bool {
    return this.first == 0x74 || this.first == 0x66;
  }
  get isNumber(): bool {
    return this.first == 0x2d || <u8>(this.first - 0x30) < 10;
  }

  // @ts-ignore: decorator
  @inline
  private get first(): u8 {
    return this.ptr == 0 ? 0 : load<u8>(this.ptr);
  }

  /** The value at a path; of keys that occur twice the last counts, as for JSON.parse. */
  get(path: string): Json {
    const segments = parsePath(path);
    let at: Json = this;
    for (let i = 0, n = segments.length; i < n && at.exists; i++) at = at.child(segments[i]);
    return at;
  }

  /** Of an array or object: how many elements or members. */
  get length(): i32 {
    let count = 0;
    let at = this.ptr;
    if (!this.isArray && !this.isObject) return 0;
    at = skipSpace(at + 1, this.end);
    while (load<u8>(at) != 0x5d && load<u8>(at) != 0x7d) {
      if (this.isObject) at = skipColon(findQuote(at + 1, this.end), this.end);
      at = skipSpace(skipValue(at, this.end), this.end);
      if (load<u8>(at) == 0x2c) at = skipSpace(at + 1, this.end);
      count++;
    }
    return count;
  }

  at(index: i32): Json {
    if (!this.isArray) return new Json(0, 0);
    let at = skipSpace(this.ptr + 1, this.end);
    for (let i = 0; load<u8>(at) != 0x5d; i++) {
      const end = skipValue(at, this.end);
      if (i == index) return new Json(at, end);
      at = skipSpace(end, this.end);
      if (load<u8>(at) == 0x2c) at = skipSpace(at + 1, this.end);
    }
    return new Json(0, 0);
  }

  child(segment: Segment): Json {
    if (this.isArray) return segment.index >= 0 ? this.at(segment.index) : new Json(0, 0);
    const found = new Json(0, 0);
    if (!this.isObject) return found;
    let at = skipSpace(this.ptr + 1, this.end);
    while (load<u8>(at) != 0x7d) {
      const quote = findQuote(at + 1, this.end);
      const value = skipColon(quote, this.end);
      const end = skipValue(value, this.end);
      if (segment.isKey(at + 1, quote)) {
        found.ptr = value;
        found.end = end;
      }
      at = skipSpace(end, this.end);
      if (load<u8>(at) == 0x2c) at = skipSpace(at + 1, this.end);
    }
    return found;
  }

  /** A string's text, escapes decoded; of anything else the JSON text itself; `otherwise` when it does not exist. */
  text(otherwise: string = ''): string {
    if (this.ptr == 0) return otherwise;
    if (!this.isString) return String.UTF8.decodeUnsafe(this.ptr, this.end - this.ptr);
    const from = this.ptr + 1;
    const to = this.end - 1;
    if (!hasEscape(from, to)) return String.UTF8.decodeUnsafe(from, to - from);
    const scratch = heap.alloc(to - from);
    return String.UTF8.decodeUnsafe(scratch, decodeTo(scratch, from, to) - scratch);
  }

  number(otherwise: f64 = NaN): f64 {
    return this.isNumber ? parseFloat(this.text()) : otherwise;
  }

  bool(otherwise: bool = false): bool {
    return this.isBool ? this.first == 0x74 : otherwise;
  }

  /** The JSON text of this value. */
  get raw(): Bytes {
    return new Bytes(this.ptr, <i32>(this.end - this.ptr));
  }
}
