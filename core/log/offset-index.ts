/*
 * Kafka's .index: 8-byte entries, big endian, one each 4,096 bytes of batches at most:
 *   0  int32  last offset of a batch, relative to the segment's base offset
 *   4  int32  where that batch begins in the .log
 * Offsets and positions both grow. The segment's first batch has no entry: a lookup that finds none means position 0.
 */
const ENTRY_BYTES = 8;
export const INDEX_INTERVAL_BYTES = 4096;

/** The sparse offset index of one segment, in memory. Grows as the segment does. */
export class OffsetIndex {
  readonly baseOffset: number;
  private entries: Int32Array;
  private count = 0;

  constructor(baseOffset: number, capacity = 64) {
    this.baseOffset = baseOffset;
    this.entries = new Int32Array(capacity * 2);
  }

  get length(): number {
    return this.count;
  }

  add(lastOffset: number, position: number): void {
    if (this.count * 2 === this.entries.length) {
      const grown = new Int32Array(this.entries.length * 2);
      grown.set(this.entries);
      this.entries = grown;
    }
    this.entries[this.count * 2] = lastOffset - this.baseOffset;
    this.entries[this.count * 2 + 1] = position;
    this.count++;
  }

  /** Where to begin looking for `offset`: at or before the batch that contains it. */
  positionOf(offset: number): number {
    const relative = offset - this.baseOffset;
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.entries[middle * 2] as number) <= relative) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : (this.entries[low * 2 - 1] as number);
  }

  /** Where the newest indexed batch begins and the offset that it ends with; null when nothing is indexed. */
  last(): { lastOffset: number; position: number } | null {
    if (this.count === 0) return null;
    const at = this.count * 2 - 2;
    return {
      lastOffset: this.baseOffset + (this.entries[at] as number),
      position: this.entries[at + 1] as number,
    };
  }

  /** Forgets every entry of a batch that does not end below `offset`. */
  truncate(offset: number): void {
    while (this.count > 0 && this.baseOffset + (this.entries[this.count * 2 - 2] as number) >= offset) this.count--;
  }

  /** The entries from the `from`-th on, as they lie in the file. */
  toBytes(from = 0): Buffer {
    const bytes = Buffer.allocUnsafe((this.count - from) * ENTRY_BYTES);
    for (let i = from * 2, at = 0; i < this.count * 2; i++, at += 4) bytes.writeInt32BE(this.entries[i] as number, at);
    return bytes;
  }

  /** Null when the bytes cannot be an index of a segment of `sizeBytes`. Zeros at the end are no entries. */
  static fromBytes(bytes: Buffer, baseOffset: number, sizeBytes: number): OffsetIndex | null {
    const index = new OffsetIndex(baseOffset, Math.max(64, Math.floor(bytes.length / ENTRY_BYTES)));
    let before = -1;
    let positionBefore = 0;
    for (let at = 0; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
      const relative = bytes.readInt32BE(at);
      const position = bytes.readInt32BE(at + 4);
      if (relative === 0 && position === 0) break;
      if (relative <= before || position <= positionBefore || position >= sizeBytes) return null;
      index.add(baseOffset + relative, position);
      before = relative;
      positionBefore = position;
    }
    return index;
  }
}

export const OFFSET_ENTRY_BYTES = ENTRY_BYTES;
