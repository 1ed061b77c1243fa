import { Bytes, allocateLasting, copy, scan } from 'millstream/assembly';
import { Field } from './fields';
import { Method } from './method';

/** from, to: two u32. */
const EDIT_BYTES: usize = 8;

/** One pass over the text: checks it, and notes which ranges are replaced (or removed, with one comma). */
@final
export class Editor {
  count: i32 = 0;
  private capacity: i32 = 64;
  private edits: usize = heap.alloc(64 * EDIT_BYTES);

  constructor(private method: Method) {}

  /** False when the text is not JSON. */
  run(text: Bytes, root: Field): bool {
    this.count = 0;
    const to = text.ptr + text.length;
    scan.seal(to);
    const end = this.walk(scan.skipSpace(text.ptr), root);
    const whole = end != 0 && scan.onlySpaceLeft(end, to);
    scan.unseal();
    return whole;
  }

  /** Before it, `run` has found something. */
  apply(value: Bytes): Bytes {
    const last = value.ptr + value.length;
    let size = value.length;
    for (let i = 0; i < this.count; i++) {
      if (!this.method.removes) size += this.method.sizeFor(<i32>(this.to(i) - this.from(i)));
    }
    const target = heap.alloc(size);
    let at = target;
    let copied = value.ptr;
    for (let i = 0; i < this.count; i++) {
      copy(at, copied, <i32>(this.from(i) - copied));
      at += this.from(i) - copied;
      if (!this.method.removes) at = this.method.write(at, this.from(i), this.to(i));
      copied = this.to(i);
    }
    copy(at, copied, <i32>(last - copied));
    return new Bytes(target, <i32>(at + (last - copied) - target));
  }

  private walk(at: usize, field: Field): usize {
    const first = load<u8>(at);
    if (first == 0x7b) return this.walkObject(at, field);
    if (first == 0x5b) return this.walkArray(at, field);
    return scan.skipValue(at);
  }

  private walkObject(at: usize, field: Field): usize {
    at = scan.skipSpace(at + 1);
    if (load<u8>(at) == 0x7d) return at + 1;
    let comma: usize = 0;
    while (true) {
      const key = scan.expectKey(at);
      if (key == 0) return 0;
      const quote = scan.findQuote(key + 1);
      at = scan.skipColon(quote);
      if (at == 0) return 0;
      const child = field.childOfKey(key + 1, quote);
      let removed = false;
      if (child === null) at = scan.skipValue(at);
      else if (!child.ends) at = this.walk(at, child);
      else {
        const value = at;
        at = scan.skipValue(value);
        removed = at != 0 && this.edit(value, at, key, comma);
      }
      if (at == 0) return 0;
      at = scan.skipSpace(at);
      const next = load<u8>(at);
      if (next == 0x7d) return at + 1;
      if (next != 0x2c) return scan.reject(at, "',' or '}'");
      // What is removed goes with the comma before it; before the first that stays, with the one behind.
      if (removed && comma == 0) this.stretch(at + 1);
      else comma = at;
      at = scan.skipSpace(at + 1);
    }
  }

  private walkArray(at: usize, field: Field): usize {
    at = scan.skipSpace(at + 1);
    if (load<u8>(at) == 0x5d) return at + 1;
    let comma: usize = 0;
    let index = 0;
    while (true) {
      const child = field.childOfIndex(index++);
      let removed = false;
      if (child === null) at = scan.skipValue(at);
      else if (!child.ends) at = this.walk(at, child);
      else {
        const value = at;
        at = scan.skipValue(value);
        removed = at != 0 && this.edit(value, at, value, comma);
      }
      if (at == 0) return 0;
      at = scan.skipSpace(at);
      const next = load<u8>(at);
      if (next == 0x5d) return at + 1;
      if (next != 0x2c) return scan.reject(at, "',' or ']'");
      if (removed && comma == 0) this.stretch(at + 1);
      else comma = at;
      at = scan.skipSpace(at + 1);
    }
  }

  /** Notes the value, or the whole member from its comma; true when it is removed. */
  private edit(from: usize, to: usize, member: usize, comma: usize): bool {
    const removes = this.method.removes;
    if (!removes && load<u8>(from) == 0x6e) return false; // null says nothing of anybody
    if (this.count == this.capacity) this.grow();
    const edit = this.edits + <usize>this.count * EDIT_BYTES;
    store<u32>(edit, removes ? (comma == 0 ? member : comma) : from);
    store<u32>(edit, to, 4);
    this.count++;
    return removes;
  }

  /** The last edit reaches this far. */
  private stretch(to: usize): void {
    store<u32>(this.edits + <usize>(this.count - 1) * EDIT_BYTES, to, 4);
  }

  private from(i: i32): usize {
    return load<u32>(this.edits + <usize>i * EDIT_BYTES);
  }
  private to(i: i32): usize {
    return load<u32>(this.edits + <usize>i * EDIT_BYTES, 4);
  }

  private grow(): void {
    const bigger = allocateLasting(<usize>this.capacity * 2 * EDIT_BYTES);
    memory.copy(bigger, this.edits, <usize>this.capacity * EDIT_BYTES);
    this.edits = bigger;
    this.capacity *= 2;
  }
}
