/*
 * Kafka's .timeindex: 12-byte entries, big endian; both fields grow:
 *   0  int64  the greatest timestamp up to here
 *   8  int32  last offset of the batch that has it, relative to the segment's base offset
 * Every record at or below an entry's offset has a timestamp at or below the entry's.
 */
const ENTRY_BYTES = 12;

/** The sparse time index of one segment, in memory. */
export class TimeIndex {
  readonly baseOffset: number;
  private timestamps: Float64Array;
  private offsets: Int32Array;
  private count = 0;

  constructor(baseOffset: number, capacity = 64) {
    this.baseOffset = baseOffset;
    this.timestamps = new Float64Array(capacity);
    this.offsets = new Int32Array(capacity);
  }

  get length(): number {
    return this.count;
  }

  /** Adds the greatest timestamp so far unless it is in already. */
  add(timestamp: number, lastOffset: number): void {
    const relative = lastOffset - this.baseOffset;
    if (this.count > 0) {
      if (timestamp <= (this.timestamps[this.count - 1] as number)) return;
      if (relative <= (this.offsets[this.count - 1] as number)) return;
    }
    if (this.count === this.timestamps.length) {
      const timestamps = new Float64Array(this.count * 2);
      const offsets = new Int32Array(this.count * 2);
      timestamps.set(this.timestamps);
      offsets.set(this.offsets);
      this.timestamps = timestamps;
      this.offsets = offsets;
    }
    this.timestamps[this.count] = timestamp;
    this.offsets[this.count] = relative;
    this.count++;
  }

  /** An offset at or before the first record whose timestamp is >= `timestamp`. */
  offsetBefore(timestamp: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.timestamps[middle] as number) < timestamp) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? this.baseOffset : this.baseOffset + (this.offsets[low - 1] as number) + 1;
  }

  last(): { timestamp: number; offset: number } | null {
    if (this.count === 0) return null;
    return {
      timestamp: this.timestamps[this.count - 1] as number,
      offset: this.baseOffset + (this.offsets[this.count - 1] as number),
    };
  }

  /** Forgets every entry for an offset at or above `offset`. */
  truncate(offset: number): void {
    while (this.count > 0 && this.baseOffset + (this.offsets[this.count - 1] as number) >= offset) this.count--;
  }

  toBytes(from = 0): Buffer {
    const bytes = Buffer.allocUnsafe((this.count - from) * ENTRY_BYTES);
    for (let i = from, at = 0; i < this.count; i++, at += ENTRY_BYTES) {
      bytes.writeBigInt64BE(BigInt(this.timestamps[i] as number), at);
      bytes.writeInt32BE(this.offsets[i] as number, at + 8);
    }
    return bytes;
  }

  /** Null when the bytes cannot be the index of a segment that ends before `endOffset`. */
  static fromBytes(bytes: Buffer, baseOffset: number, endOffset: number): TimeIndex | null {
    const index = new TimeIndex(baseOffset, Math.max(64, Math.floor(bytes.length / ENTRY_BYTES)));
    let before: { timestamp: number; offset: number } | null = null;
    for (let at = 0; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
      const timestamp = Number(bytes.readBigInt64BE(at));
      const offset = baseOffset + bytes.readInt32BE(at + 8);
      if (timestamp === 0 && offset === baseOffset) break;
      if (offset < baseOffset || offset >= endOffset) return null;
      if (before && (timestamp <= before.timestamp || offset <= before.offset)) return null;
      index.add(timestamp, offset);
      before = { timestamp, offset };
    }
    return index;
  }
}

export const TIME_ENTRY_BYTES = ENTRY_BYTES;
