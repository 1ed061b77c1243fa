import { Bytes, allocateLasting, scan } from 'millstream/assembly';
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
  run(from: usize, to: usize, root: Field): bool {
    this.count = 0;
    const end = this.walk(scan.skipSpace(from, to), to, root);
    return end != 0 && scan.onlySpaceLeft(end, to);
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
      memory.copy(at, copied, this.from(i) - copied);
      at += this.from(i) - copied;
      if (!this.method.removes) at = this.method.write(at, this.from(i), this.to(i));
      copied = this.to(i);
    }
    memory.copy(at, copied, last - copied);
    return new Bytes(target, <i32>(at + (last - copied) - target));
  }

  private walk(at: usize, end: usize, field: Field): usize {
    const first = at < end ? load<u8>(at) : 0;
    if (first == 0x7b) return this.walkObject(at, end, field);
    if (first == 0x5b) return this.walkArray(at, end, field);
    return scan.skipValue(at, end);
  }

  private walkObject(at: usize, end: usize, field: Field): usize {
    at = scan.skipSpace(at + 1, end);
    if (at < end && load<u8>(at) == 0x7d) return at + 1;
    let comma: usize = 0;
    while (true) {
      const member = at;
      if (at >= end || load<u8>(at) != 0x22) return scan.reject(at, 'a key');
      const quote = scan.findQuote(at + 1, end);
      const value = scan.skipColon(quote, end);
      if (value == 0) return 0;
      const child = field.childOfKey(at + 1, quote);
      let removed = false;
      if (child === null) at = scan.skipValue(value, end);
      else if (child.ends) {
        at = scan.skipValue(value, end);
        removed = at != 0 && this.edit(value, at, member, comma);
      } else at = this.walk(value, end, child);
      if (at == 0) return 0;
      at = scan.skipSpace(at, end);
      const next = at < end ? load<u8>(at) : 0;
      if (next == 0x7d) return at + 1;
      if (next != 0x2c) return scan.reject(at, "',' or '}'");
      // A member that is not removed may give its comma to the next one; before the first of them, the comma behind.
      if (!removed) comma = at;
      else if (comma == 0) this.stretch(at + 1);
      else comma = at;
      at = scan.skipSpace(at + 1, end);
    }
  }

  private walkArray(at: usize, end: usize, field: Field): usize {
    at = scan.skipSpace(at + 1, end);
    if (at < end && load<u8>(at) == 0x5d) return at + 1;
    let comma: usize = 0;
    let index = 0;
    while (true) {
      const value = at;
      const child = field.childOfIndex(index++);
      let removed = false;
      if (child === null) at = scan.skipValue(value, end);
      else if (child.ends) {
        at = scan.skipValue(value, end);
        removed = at != 0 && this.edit(value, at, value, comma);
      } else at = this.walk(value, end, child);
      if (at == 0) return 0;
      at = scan.skipSpace(at, end);
      const next = at < end ? load<u8>(at) : 0;
      if (next == 0x5d) return at + 1;
      if (next != 0x2c) return scan.reject(at, "',' or ']'");
      if (!removed) comma = at;
      else if (comma == 0) this.stretch(at + 1);
      else comma = at;
      at = scan.skipSpace(at + 1, end);
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
