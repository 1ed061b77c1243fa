import { Bytes } from './bytes';
import { copy } from './copy';
import { HeaderEdits, findHeader } from './headers';
import { failAt } from './host';
import { Json } from './json';
import * as json from './json-functions';
import { cursor, readVarint, writeSized } from './varint';

/*
 * Record body, as it lies in Kafka's log: key length (-1 null), key, value length, value, headers (see headers.ts);
 * lengths are zigzag varints.
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
  /** Key and value of the draft: as they came, or as they were set last. */
  readonly key: Bytes = new Bytes();
  readonly value: Bytes = new Bytes();

  /** SDK: position in the frame. */
  index: i32 = 0;
  /** SDK */
  failed: bool = false;
  private bodyFrom: usize = 0;
  private bodyTo: usize = 0;
  private headersFrom: usize = 0;
  private sourceTime: i64 = 0;
  private time: i64 = 0;
  private timeSet: bool = false;
  /** Key or value were set. */
  private changed: bool = false;
  private edits: HeaderEdits | null = null;

  /** Milliseconds since the epoch. */
  get timestamp(): i64 {
    return this.time;
  }
  set timestamp(value: i64) {
    this.time = value;
    this.timeSet = true;
  }

  /** The value is null, which differs from empty. Only modules that export `tombstones` are given such records. */
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
    this.setValue(Bytes.of(text));
  }

  setKey(bytes: Bytes): void {
    this.key.ptr = bytes.ptr;
    this.key.length = bytes.length;
    this.changed = true;
  }

  setKeyText(text: string): void {
    this.setKey(Bytes.of(text));
  }

  /** The last header of this name; null when there is none. */
  header(name: string): Bytes | null {
    return findHeader(this.headersFrom, this.edits, name);
  }

  headerText(name: string): string | null {
    const found = this.header(name);
    return found === null ? null : found.toString();
  }

  /** Replaces every header of this name. */
  setHeader(name: string, value: string): void {
    this.setHeaderBytes(name, Bytes.of(value));
  }

  setHeaderBytes(name: string, value: Bytes): void {
    this.editHeader(name, value, false);
  }

  /** Removes every header of this name. */
  removeHeader(name: string): void {
    this.editHeader(name, new Bytes(), true);
  }

  private editHeader(name: string, value: Bytes, removes: bool): void {
    let edits = this.edits;
    if (edits === null) {
      edits = new HeaderEdits();
      this.edits = edits;
    }
    edits.put(name, value.ptr, value.length, removes);
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
    this.openBody(this.bodyFrom, this.bodyTo);
    this.time = this.sourceTime;
  }

  /** SDK: stands on a record of the frame. */
  // @ts-ignore: decorator
  @inline
  open(index: i32, offset: i64, timestamp: i64, from: usize, to: usize): void {
    this.index = index;
    this.offset = offset;
    this.sourceTime = timestamp;
    this.time = timestamp;
    this.failed = false;
    this.openBody(from, to);
  }

  // @ts-ignore: decorator
  @inline
  private openBody(from: usize, to: usize): void {
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
  get hasNewTimestamp(): bool {
    return this.timeSet;
  }

  /** SDK: at most this many bytes are written by `write`. */
  // @ts-ignore: decorator
  @inline
  maxBodySize(): i32 {
    let size = <i32>(this.bodyTo - this.headersFrom) + max(this.key.length, 0) + max(this.value.length, 0) + 16;
    if (this.edits !== null) size += this.edits!.maxSize();
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
    if (this.edits !== null) return this.edits!.write(to, this.headersFrom);
    copy(to, this.headersFrom, <i32>(this.bodyTo - this.headersFrom));
    return to + (this.bodyTo - this.headersFrom);
  }
}
