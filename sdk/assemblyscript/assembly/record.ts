import { Bytes } from './bytes';
import { Json } from './json';
import * as json from './json-functions';
import { cursor, readVarint, writeVarint } from './varint';
import { copy } from './copy';
import { failAt } from './host';

/*
 * Record body, as it lies in Kafka's log: key length (-1 null), key, value length, value, header count,
 * { name length, name, value length, value }*; all lengths zigzag varints.
 */

/**
 * One record: a view of the input, and the draft of what is emitted. Setters change the draft only; key, value and
 * headers that were not set are copied from the input as they are. The same object serves every record: keep nothing
 * of it after `transform` has returned.
 */
@final
export class Record {
  /** Position in the partition. */
  offset: i64 = 0;
  /** The partition that the source record lies in. */
  partition: i32 = 0;
  readonly key: Bytes = new Bytes();
  readonly value: Bytes = new Bytes();

  // The input body.
  index: i32 = 0;
  failed: bool = false;
  private bodyFrom: usize = 0;
  private bodyTo: usize = 0;
  private headersFrom: usize = 0;
  private changed: bool = false;
  private time: i64 = 0;
  private timeSet: bool = false;
  /** In the order in which they were set; null until the first. */
  private edits: HeaderEdit[] | null = null;

  /** Milliseconds since the epoch. */
  get timestamp(): i64 {
    return this.time;
  }
  set timestamp(value: i64) {
    this.time = value;
    this.timeSet = true;
  }

  get isTombstone(): bool {
    return this.value.length < 0;
  }

  /** The value as JSON, checked as a whole. When it is none, the record fails with INVALID_JSON and the place of the
   * error, and null is returned: return from `transform` then. */
  json(): Json | null {
    const doc = json.parse(this.value);
    if (doc === null) this.fail('INVALID_JSON', json.rejection(this.value));
    return doc;
  }

  /** Sets the value to these bytes, without copying: they must stay as they are until the record is emitted. */
  setValue(bytes: Bytes): void {
    this.value.ptr = bytes.ptr;
    this.value.length = bytes.length;
    this.changed = true;
  }

  setValueText(text: string): void {
    const buffer = String.UTF8.encode(text);
    this.value.ptr = changetype<usize>(buffer);
    this.value.length = buffer.byteLength;
    this.changed = true;
  }

  setKey(bytes: Bytes): void {
    this.key.ptr = bytes.ptr;
    this.key.length = bytes.length;
    this.changed = true;
  }

  setKeyText(text: string): void {
    const buffer = String.UTF8.encode(text);
    this.key.ptr = changetype<usize>(buffer);
    this.key.length = buffer.byteLength;
    this.changed = true;
  }

  /** The last header of this name; null when there is none. */
  header(name: string): Bytes | null {
    const wanted = String.UTF8.encode(name);
    const wantedPtr = changetype<usize>(wanted);
    const wantedLength = wanted.byteLength;
    const edit = findEdit(this.edits, wantedPtr, wantedLength);
    if (edit !== null) return edit.removes ? null : new Bytes(edit.valuePtr, edit.valueLength);
    let found: Bytes | null = null;
    let left = readVarint(this.headersFrom);
    let at = cursor;
    for (; left > 0; left--) {
      const length = readVarint(at);
      const namePtr = cursor;
      const valueLength = readVarint(namePtr + length);
      if (sameBytes(namePtr, length, wantedPtr, wantedLength)) found = new Bytes(cursor, valueLength);
      at = cursor + max(valueLength, 0);
    }
    return found;
  }

  headerText(name: string): string | null {
    const found = this.header(name);
    return found === null ? null : found.toString();
  }

  /** Replaces every header of this name. */
  setHeader(name: string, value: string): void {
    const buffer = String.UTF8.encode(value);
    this.editHeader(name, changetype<usize>(buffer), buffer.byteLength, false);
  }

  setHeaderBytes(name: string, value: Bytes): void {
    this.editHeader(name, value.ptr, value.length, false);
  }

  /** Removes every header of this name. */
  removeHeader(name: string): void {
    this.editHeader(name, 0, -1, true);
  }

  /** This record cannot be processed: it becomes a dead letter with this code (short, upper case) and sentence, and
   * nothing of it is emitted. Return from `transform` afterwards. */
  fail(code: string, text: string): void {
    if (this.failed) return;
    this.failed = true;
    failAt(this.index, code, text);
  }

  /** Forgets what was set: the record is again as it came. */
  reset(): void {
    this.open(this.bodyFrom, this.bodyTo);
  }

  /** SDK: stands on a body. */
  // @ts-ignore: decorator
  @inline
  open(from: usize, to: usize): void {
    this.bodyFrom = from;
    this.bodyTo = to;
    const keyLength = readVarint(from);
    this.key.ptr = cursor;
    this.key.length = keyLength;
    const valueLength = readVarint(cursor + max(keyLength, 0));
    this.value.ptr = cursor;
    this.value.length = valueLength;
    this.headersFrom = cursor + max(valueLength, 0);
    this.changed = false;
    this.timeSet = false;
    this.edits = null;
  }

  /** SDK */
  // @ts-ignore: decorator
  @inline
  openAt(index: i32, offset: i64, timestamp: i64): void {
    this.index = index;
    this.offset = offset;
    this.time = timestamp;
    this.failed = false;
  }

  /** SDK */
  get hasNewTimestamp(): bool {
    return this.timeSet;
  }

  /** SDK: at most this many bytes are written by `write`. */
  // @ts-ignore: decorator
  @inline
  maxBodySize(): i32 {
    let size = <i32>(this.bodyTo - this.headersFrom) + max(this.key.length, 0) + max(this.value.length, 0) + 16;
    if (this.edits !== null) size += sizeOf(this.edits!);
    return size;
  }

  /** SDK: writes the body; returns the address behind it. */
  // @ts-ignore: decorator
  @inline
  write(to: usize): usize {
    if (!this.changed && this.edits === null) {
      copy(to, this.bodyFrom, <i32>(this.bodyTo - this.bodyFrom));
      return to + (this.bodyTo - this.bodyFrom);
    }
    to = writeSized(to, this.key.ptr, this.key.length);
    to = writeSized(to, this.value.ptr, this.value.length);
    if (this.edits !== null) return this.writeHeaders(to, this.edits!);
    copy(to, this.headersFrom, <i32>(this.bodyTo - this.headersFrom));
    return to + (this.bodyTo - this.headersFrom);
  }

  private writeHeaders(to: usize, edits: HeaderEdit[]): usize {
    const before = readVarint(this.headersFrom);
    let at = cursor;
    let count = 0;
    for (let i = 0; i < before; i++) {
      const nameLength = readVarint(at);
      const namePtr = cursor;
      const valueLength = readVarint(namePtr + nameLength);
      at = cursor + max(valueLength, 0);
      if (findEdit(edits, namePtr, nameLength) === null) count++;
    }
    for (let i = 0; i < edits.length; i++) if (!edits[i].removes) count++;
    to = writeVarint(to, count);
    readVarint(this.headersFrom);
    at = cursor;
    for (let i = 0; i < before; i++) {
      const from = at;
      const nameLength = readVarint(at);
      const namePtr = cursor;
      const valueLength = readVarint(namePtr + nameLength);
      at = cursor + max(valueLength, 0);
      if (findEdit(edits, namePtr, nameLength) !== null) continue;
      copy(to, from, <i32>(at - from));
      to += at - from;
    }
    for (let i = 0; i < edits.length; i++) {
      const edit = edits[i];
      if (edit.removes) continue;
      to = writeSized(to, edit.namePtr, edit.nameLength);
      to = writeSized(to, edit.valuePtr, edit.valueLength);
    }
    return to;
  }

  private editHeader(name: string, valuePtr: usize, valueLength: i32, removes: bool): void {
    const buffer = String.UTF8.encode(name);
    const namePtr = changetype<usize>(buffer);
    let edit = findEdit(this.edits, namePtr, buffer.byteLength);
    if (edit === null) {
      edit = new HeaderEdit();
      edit.namePtr = namePtr;
      edit.nameLength = buffer.byteLength;
      if (this.edits === null) this.edits = [];
      this.edits!.push(edit);
    }
    edit.valuePtr = valuePtr;
    edit.valueLength = valueLength;
    edit.removes = removes;
  }
}

/** What became of the headers of one name. */
@final
class HeaderEdit {
  namePtr: usize = 0;
  nameLength: i32 = 0;
  valuePtr: usize = 0;
  valueLength: i32 = -1;
  removes: bool = false;
}

function findEdit(edits: HeaderEdit[] | null, namePtr: usize, nameLength: i32): HeaderEdit | null {
  if (edits === null) return null;
  for (let i = 0; i < edits.length; i++) {
    const edit = edits[i];
    if (sameBytes(edit.namePtr, edit.nameLength, namePtr, nameLength)) return edit;
  }
  return null;
}

function sizeOf(edits: HeaderEdit[]): i32 {
  let size = 0;
  for (let i = 0; i < edits.length; i++) size += edits[i].nameLength + max(edits[i].valueLength, 0) + 10;
  return size;
}

function sameBytes(a: usize, aLength: i32, b: usize, bLength: i32): bool {
  return aLength == bLength && memory.compare(a, b, aLength) == 0;
}

// @ts-ignore: decorator
@inline
function writeSized(to: usize, from: usize, length: i32): usize {
  to = writeVarint(to, length);
  if (length <= 0) return to;
  copy(to, from, length);
  return to + length;
}
