import { GuestFault, OUTPUT_BYTES_PER_RECORD, OUTPUT_FACTOR } from './guest.ts';

/*
 * Input and output frames (DESIGN 6) for ABIs that know nothing of them: the host reads the one and writes the other.
 * What is written here is the guest's, so it is checked behind this by the frame helper like every other output.
 */

const INPUT_RECORD = 16;
const OUTPUT_HEADER = 8;
const TIMESTAMP = 1;
const FIRST_BYTES = 64 * 1024;
/** A buffer that has grown beyond this is not kept for the next call. */
const KEEP_BYTES = 4 * 1024 * 1024;
/** What one call of several records may give in all before its records are run one by one. */
const CALL_BYTES = 64 * 1024 * 1024;

export interface Summary {
  /** Bytes of the longest body. */
  longest: number;
  baseOffset: number;
  lastOffset: number;
  baseTimestamp: number;
  maxTimestamp: number;
}

/** Walks over the records of an input frame. The host made it, so nothing is checked. */
export class InputFrame {
  readonly bytes: Uint8Array;
  readonly count: number;
  /** Of the record that `next` has gone to: */
  index = -1;
  offset = 0;
  timestamp = 0;
  bodyFrom = 0;
  bodyTo: number;
  private readonly view: DataView;
  private readonly baseOffset: number;

  constructor(bytes: Uint8Array, count: number) {
    this.bytes = bytes;
    this.count = count;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.baseOffset = Number(this.view.getBigInt64(8, true));
    this.bodyTo = this.view.getUint16(2, true);
  }

  /** The next record's body has so many bytes; there must be a next one. */
  nextSize(): number {
    return this.view.getUint32(this.bodyTo, true);
  }

  /** Goes to the next record; there must be one. */
  next(): void {
    const { view } = this;
    const at = this.bodyTo;
    this.index++;
    this.offset = this.baseOffset + view.getUint32(at + 4, true);
    // Timestamps are below 2^53 in both directions.
    this.timestamp = view.getInt32(at + 12, true) * 2 ** 32 + view.getUint32(at + 8, true);
    this.bodyFrom = at + INPUT_RECORD;
    this.bodyTo = this.bodyFrom + view.getUint32(at, true);
  }

  /** What a batch's header says of all records, without moving. There is one at least. */
  summary(): Summary {
    const walk = new InputFrame(this.bytes, this.count);
    walk.next();
    const { offset, timestamp } = walk;
    let [longest, maxTimestamp] = [walk.bodyTo - walk.bodyFrom, timestamp];
    while (walk.index + 1 < walk.count) {
      walk.next();
      longest = Math.max(longest, walk.bodyTo - walk.bodyFrom);
      maxTimestamp = Math.max(maxTimestamp, walk.timestamp);
    }
    return { longest, baseOffset: offset, lastOffset: walk.offset, baseTimestamp: timestamp, maxTimestamp };
  }
}

/** Writes an output frame. Throws GuestFault OUTPUT_TOO_LARGE when a record or the call gives more than is allowed. */
export class OutputFrame {
  private buffer: Buffer = Buffer.allocUnsafe(FIRST_BYTES);
  private end = OUTPUT_HEADER;
  private records = 0;
  private index = 0;
  private room = 0;
  private single = false;

  /** A new call of so many records. */
  begin(count: number): void {
    if (this.buffer.length > KEEP_BYTES) this.buffer = Buffer.allocUnsafe(FIRST_BYTES);
    this.end = OUTPUT_HEADER;
    this.records = 0;
    this.single = count === 1;
    this.forRecord(0, 0);
  }

  /** What is added from now on comes from this record of the call, whose body has so many bytes. */
  forRecord(index: number, bodyBytes: number): void {
    this.index = index;
    this.room = OUTPUT_FACTOR * bodyBytes + OUTPUT_BYTES_PER_RECORD;
  }

  /** Room for a body of exactly this length: `body` and `at` say where it goes. `timestamp` null: the input's. */
  add(length: number, route = 0, timestamp: number | null = null): { body: Buffer; at: number } {
    const head = timestamp === null ? 12 : 20;
    this.room -= head + length;
    if (this.room < 0) {
      const most = OUTPUT_BYTES_PER_RECORD;
      throw new GuestFault(
        'OUTPUT_TOO_LARGE',
        `the module gave more for one record than ${OUTPUT_FACTOR} times its size and ${most} bytes`,
        this.index,
      );
    }
    if (!this.single && this.end + head + length > CALL_BYTES) {
      throw new GuestFault('OUTPUT_TOO_LARGE', `the module gave more than ${CALL_BYTES} bytes in one call`);
    }
    this.ensure(head + length);
    const { buffer } = this;
    let at = this.end;
    buffer.writeUInt32LE(this.index, at);
    buffer.writeUInt16LE(route, at + 4);
    buffer.writeUInt16LE(timestamp === null ? 0 : TIMESTAMP, at + 6);
    at += 8;
    if (timestamp !== null) {
      buffer.writeBigInt64LE(BigInt(timestamp), at);
      at += 8;
    }
    buffer.writeUInt32LE(length, at);
    at += 4;
    this.end = at + length;
    this.records++;
    return { body: buffer, at };
  }

  /** Takes back what was added since `mark`. */
  mark(): { end: number; records: number } {
    return { end: this.end, records: this.records };
  }

  release(to: { end: number; records: number }): void {
    this.end = to.end;
    this.records = to.records;
  }

  /** The frame, until the next call; null when it is empty. */
  finish(): Uint8Array | null {
    if (this.records === 0) return null;
    this.buffer.writeUInt32LE(1 | (OUTPUT_HEADER << 16), 0);
    this.buffer.writeUInt32LE(this.records, 4);
    return this.buffer.subarray(0, this.end);
  }

  private ensure(more: number): void {
    if (this.end + more <= this.buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.end + more, this.buffer.length * 2));
    grown.set(this.buffer.subarray(0, this.end));
    this.buffer = grown;
  }
}
