import { Bytes } from './bytes';
import { decodeTo, hasEscape } from './escape';
import { parseNumber } from './number';
import { Path, Segment } from './path';
import { pathOf } from './path-cache';
import { removeAt, setAt } from './splice';
import { findQuote, onlySpaceLeft, seal, skipColon, skipSpace, skipValue, unseal } from './scan';

/**
 * A value in JSON text that was checked as a whole: a view, nothing is copied. `exists` is false for what was not
 * found; every question to it has an answer then, too.
 */
@final
export class Json {
  constructor(
    readonly ptr: usize,
    readonly end: usize,
  ) {}

  /** Checks the whole text; null when it is not JSON (then `json.rejection` says why). */
  static parse(from: usize, to: usize): Json | null {
    seal(to);
    const start = skipSpace(from);
    const end = skipValue(start);
    const whole = end != 0 && onlySpaceLeft(end, to);
    unseal();
    return whole ? new Json(start, end) : null;
  }

  static nothing(): Json {
    return new Json(0, 0);
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

  /** The value at a path such as `customer.email` or `items.0.sku`. Of keys that occur twice the last counts, as for
   * JSON.parse. Cheap for literals; for a path from the configuration keep a `json.path` and use `find`. */
  get(path: string): Json {
    return this.find(pathOf(path));
  }

  find(path: Path): Json {
    let at: Json = this;
    for (let i = 0, n = path.length; i < n && at.exists; i++) at = at.child(unchecked(path[i]));
    return at;
  }

  /** The text with `value` (JSON text, see `json.quote`, `json.number`) at the path: replaced, or added as the last
   * member; objects that are missing on the way are made. Unchanged when something on the way is no object, or the
   * array has no such element. */
  set(path: string, value: Bytes): Json {
    return setAt(this, pathOf(path), value);
  }

  /** The text without the member or element at the path, all of them if its key occurs more than once. */
  remove(path: string): Json {
    return removeAt(this, pathOf(path));
  }

  /** The elements of an array; empty for anything else. */
  elements(): Json[] {
    const elements: Json[] = [];
    if (!this.isArray) return elements;
    let at = skipSpace(this.ptr + 1);
    while (load<u8>(at) != 0x5d) {
      const end = skipValue(at);
      elements.push(new Json(at, end));
      at = nextElement(end);
    }
    return elements;
  }

  /** The keys of an object, in order; empty for anything else. */
  keys(): string[] {
    const keys: string[] = [];
    if (!this.isObject) return keys;
    let at = skipSpace(this.ptr + 1);
    while (load<u8>(at) != 0x7d) {
      const quote = findQuote(at + 1);
      keys.push(decode(at + 1, quote));
      at = nextElement(skipValue(skipColon(quote)));
    }
    return keys;
  }

  /** One name further. */
  child(segment: Segment): Json {
    if (this.isArray) return this.element(segment.index);
    if (!this.isObject) return Json.nothing();
    let found: usize = 0;
    let foundEnd: usize = 0;
    let at = skipSpace(this.ptr + 1);
    while (load<u8>(at) != 0x7d) {
      const key = at + 1;
      const quote = findQuote(key);
      const value = skipColon(quote);
      const end = skipValue(value);
      if (segment.isKey(key, quote)) {
        found = value;
        foundEnd = end;
      }
      at = nextElement(end);
    }
    return new Json(found, foundEnd);
  }

  private element(index: i32): Json {
    if (index < 0) return Json.nothing();
    let at = skipSpace(this.ptr + 1);
    for (let i = 0; load<u8>(at) != 0x5d; i++) {
      const end = skipValue(at);
      if (i == index) return new Json(at, end);
      at = nextElement(end);
    }
    return Json.nothing();
  }

  /** A string's text, escapes decoded; of anything else its JSON text; `otherwise` when it does not exist. */
  text(otherwise: string = ''): string {
    if (this.ptr == 0) return otherwise;
    if (this.isString) return decode(this.ptr + 1, this.end - 1);
    return String.UTF8.decodeUnsafe(this.ptr, this.end - this.ptr);
  }

  /** Is it a string with this text? */
  isText(text: string): bool {
    return this.isString && this.utf8().equals(text);
  }

  /** A string's text as UTF-8, escapes decoded; of anything else its JSON text. A view when there is nothing to decode. */
  utf8(): Bytes {
    if (!this.isString) return this.raw;
    const from = this.ptr + 1;
    const to = this.end - 1;
    if (!hasEscape(from, to)) return new Bytes(from, <i32>(to - from));
    const decoded = heap.alloc(to - from);
    return new Bytes(decoded, <i32>(decodeTo(decoded, from, to) - decoded));
  }

  /** `otherwise` when it is no number (a string with digits is none). */
  number(otherwise: f64 = NaN): f64 {
    return this.isNumber ? parseNumber(this.ptr, this.end) : otherwise;
  }

  bool(otherwise: bool = false): bool {
    return this.isBool ? this.first == 0x74 : otherwise;
  }

  /** The JSON text of this value. */
  get raw(): Bytes {
    return new Bytes(this.ptr, this.ptr == 0 ? -1 : <i32>(this.end - this.ptr));
  }
}

/** From behind an element to the next one, or to the closing bracket. */
// @ts-ignore: decorator
@inline
function nextElement(end: usize): usize {
  const at = skipSpace(end);
  return load<u8>(at) == 0x2c ? skipSpace(at + 1) : at;
}

function decode(from: usize, to: usize): string {
  if (!hasEscape(from, to)) return String.UTF8.decodeUnsafe(from, to - from);
  const scratch = heap.alloc(to - from);
  return String.UTF8.decodeUnsafe(scratch, decodeTo(scratch, from, to) - scratch);
}
