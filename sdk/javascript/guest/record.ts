import {
  type Bytes,
  type Header,
  partOf,
  readFrom,
  readHeaders,
  readPart,
  skipPart,
  textOf,
  type Writer,
} from './body.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What `with` takes: what is left out stays. Anything but bytes, text and null is written as JSON. */
export interface Changes {
  key?: unknown;
  value?: unknown;
  /** Sets these; null removes one. */
  headers?: Readonly<{ [name: string]: string | Uint8Array | null }>;
  /** Milliseconds since the epoch. */
  timestamp?: number;
}

/** Thrown by `fail`: the record becomes a dead letter, or what the step's `on_error` says. */
export class Failed extends Error {
  readonly code: string;
  constructor(code: string, reason: string) {
    super(reason);
    this.code = code;
  }
}

/** One record, as it came or changed; changing one gives another and leaves it as it is. */
export class Record {
  readonly offset: number;
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  /** SDK: the output it goes to; null: the default. */
  declare output: string | null;
  private readonly frame: Uint8Array;
  private readonly from: number;
  private readonly end: number;
  /** What stands here is new; the rest is where it lies in the frame. */
  declare private changes: Changes | null;
  /** Where the value lies in the frame; -1: not looked for yet, then the end is that of its length. */
  declare private valueFrom: number;
  declare private valueEnd: number;
  /** Where its length lies. */
  declare private lengthAt: number;

  constructor(frame: Uint8Array, from: number, end: number, offset: number, timestamp: number) {
    this.frame = frame;
    this.from = from;
    this.end = end;
    this.offset = offset;
    this.timestamp = timestamp;
  }

  get key(): Bytes {
    const key = this.changes?.key;
    if (key !== undefined) return bytesOf(key);
    readFrom(this.from);
    return readPart(this.frame);
  }

  /** Null: a tombstone. */
  get value(): Bytes {
    const value = this.changes?.value;
    if (value !== undefined) return bytesOf(value);
    if (this.valueFrom < 0) this.locate();
    return this.valueEnd < 0 ? null : this.frame.subarray(this.valueFrom, this.valueEnd);
  }

  get headers(): readonly Header[] {
    readFrom(this.from);
    skipPart(this.frame);
    skipPart(this.frame);
    const headers = readHeaders(this.frame);
    const changes = this.changes?.headers;
    return changes === undefined ? headers : merged(headers, changes);
  }

  /** The value as text; '' for a tombstone. */
  text(): string {
    const { value } = this;
    return value === null ? '' : textOf(value);
  }

  /** The value as JSON; what is none fails the record with the code INVALID_JSON. */
  json(): ReturnType<typeof JSON.parse> {
    try {
      if (this.changes !== null) return JSON.parse(this.text());
      if (this.valueFrom < 0) this.locate();
      return JSON.parse(this.valueEnd < 0 ? '' : decoder.decode(this.frame.subarray(this.valueFrom, this.valueEnd)));
    } catch (error) {
      throw new Failed('INVALID_JSON', error instanceof Error ? error.message : String(error));
    }
  }

  keyText(): string {
    const { key } = this;
    return key === null ? '' : textOf(key);
  }

  /** The last header of this name as text; null when there is none. */
  header(name: string): string | null {
    const found = this.headers.findLast(([each]) => each === name);
    return found?.[1] ? textOf(found[1]) : null;
  }

  with(changes: Changes): Record {
    const before = this.changes;
    if (before) {
      const headers = before.headers || changes.headers ? { headers: { ...before.headers, ...changes.headers } } : {};
      return this.copy({ ...before, ...changes, ...headers }, this.output);
    }
    return this.copy(changes, this.output);
  }

  /** The same record, to a named output of the pipeline. */
  to(output: string): Record {
    return this.copy(this.changes, output);
  }

  /** Ends the work on this record: it becomes a dead letter. `code` is a short upper-case name. */
  fail(code: string, reason: string): never {
    throw new Failed(code, reason);
  }

  /** SDK: adds it to an output frame: u32 input index, u16 route, u16 flags (1 = has timestamp), [i64 timestamp],
   * u32 body length, body. */
  write(out: Writer, index: number, route: number): void {
    const { frame, changes, from, end } = this;
    // For all that stays as it came: it is copied without asking again.
    out.reserve(20 + end - from);
    const head = out.at;
    out.view.setUint32(head, index, true);
    const isStamped = changes !== null && changes.timestamp !== undefined;
    out.view.setUint32(head + 4, isStamped ? route | 0x10000 : route, true);
    if (isStamped) out.view.setBigInt64(head + 8, BigInt(this.timestamp), true);
    const body = isStamped ? head + 20 : head + 12;
    if (changes === null) {
      out.bytes.copyWithin(body, from, end);
      out.at = body + end - from;
    } else {
      const { key, value, headers } = changes;
      if (this.valueFrom < 0) this.locate();
      const afterKey = this.lengthAt;
      const afterValue = this.valueEnd < 0 ? this.valueFrom : this.valueEnd;
      out.at = body;
      if (key !== undefined) out.part(partOf(key), end - from);
      else {
        out.bytes.copyWithin(body, from, afterKey);
        out.at = body + afterKey - from;
      }
      if (value === undefined) {
        out.bytes.copyWithin(out.at, afterKey, afterValue);
        out.at += afterValue - afterKey;
      } else if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array)) {
        out.text(JSON.stringify(value), end - from);
      } else out.part(partOf(value), end - from);
      if (headers === undefined) {
        out.bytes.copyWithin(out.at, afterValue, end);
        out.at += end - afterValue;
      } else {
        readFrom(afterValue);
        out.headers(merged(readHeaders(frame), headers));
      }
    }
    out.view.setUint32(body - 4, out.at - body, true);
  }

  /** Finds the value. In one piece: in the interpreter a call costs as much as this whole function. */
  private locate(): void {
    const { frame } = this;
    let at = this.from;
    for (let part = 0; part < 2; part++) {
      if (part === 1) this.lengthAt = at;
      let byte = frame[at++] as number;
      let raw = byte & 0x7f;
      for (let shift = 7; byte > 0x7f; shift += 7) {
        byte = frame[at++] as number;
        raw |= (byte & 0x7f) << shift;
      }
      // Zigzag: odd is negative, and the only negative length is -1, null.
      const length = raw & 1 ? -1 : raw >>> 1;
      if (part === 1) {
        this.valueFrom = at;
        this.valueEnd = length < 0 ? -1 : at + length;
      } else if (length > 0) at += length;
    }
  }

  private copy(changes: Changes | null, output: string | null): Record {
    const timestamp = changes?.timestamp ?? this.timestamp;
    const copy = new Record(this.frame, this.from, this.end, this.offset, timestamp);
    if (changes !== null) copy.changes = changes;
    if (output !== null) copy.output = output;
    return copy;
  }
}
// On the prototype, so that a record that is only looked at has five fields.
Object.assign(Record.prototype, { output: null, changes: null, valueFrom: -1, valueEnd: -1, lengthAt: -1 });

function bytesOf(part: unknown): Bytes {
  const plain = partOf(part);
  return typeof plain === 'string' ? encoder.encode(plain) : plain;
}

function merged(headers: Header[], changes: NonNullable<Changes['headers']>): Header[] {
  const kept: Header[] = [];
  for (let i = 0; i < headers.length; i++) {
    const header = headers[i] as Header;
    if (changes[header[0]] === undefined) kept.push(header);
  }
  const names = Object.keys(changes);
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    const value = changes[name];
    if (value != null) kept.push([name, typeof value === 'string' ? encoder.encode(value) : value]);
  }
  return kept;
}
