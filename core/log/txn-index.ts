import type { Disk, DiskFile } from '../base/disk.ts';
import { offsetInName, offsetName, readWhole, SUFFIX, writeAll } from './log-files.ts';

/*
 * Kafka's .txnindex (AbortedTxn, version 0): one entry for each abort marker in the segment, in their order, big
 * endian. A segment without any has no file.
 *    0  int16  version 0
 *    2  int64  producer id
 *   10  int64  first offset of the transaction, which may lie in an earlier segment
 *   18  int64  offset of the abort marker
 *   26  int64  last stable offset once the transaction was over
 */
export const TXN_ENTRY_BYTES = 34;
const ENTRY_BYTES = TXN_ENTRY_BYTES;

export interface AbortedTransaction {
  producerId: number;
  firstOffset: number;
  /** Offset of the abort marker. */
  lastOffset: number;
  lastStableOffset: number;
}

/** The aborted transactions of one log, in memory as a whole: they are few, and readers ask at every fetch. */
export class TransactionIndex {
  /** By `lastOffset`. */
  private entries: AbortedTransaction[] = [];
  /** How many entries the file of a segment (by its base offset) already has. */
  private readonly saved = new Map<number, number>();

  get size(): number {
    return this.entries.length;
  }

  add(aborted: AbortedTransaction): void {
    this.entries.push(aborted);
  }

  /** Transactions of which something lies in [from, to), in the order in which they began: kafkajs looks at one behind
   * the other, and would deliver records of one that began before, but ended behind, the first in the list. */
  within(from: number, to: number): AbortedTransaction[] {
    const found: AbortedTransaction[] = [];
    for (let i = this.firstEndingAt(from); i < this.entries.length; i++) {
      const entry = this.entries[i] as AbortedTransaction;
      if (entry.firstOffset < to) found.push(entry);
      // Everything below that offset had ended by then: what ended later began above it.
      if (entry.lastStableOffset >= to) break;
    }
    return found.toSorted((a, b) => a.firstOffset - b.firstOffset);
  }

  /** Segments below `offset` are gone. */
  removeBelow(offset: number): void {
    const keep = this.firstEndingAt(offset);
    if (keep > 0) this.entries = this.entries.slice(keep);
    for (const baseOffset of this.saved.keys()) if (baseOffset < offset) this.saved.delete(baseOffset);
  }

  /** Writes and syncs what the file of the segment [baseOffset, endOffset) does not have yet. The caller syncs the
   * directory. */
  async save(
    disk: Disk,
    directory: string,
    segment: { baseOffset: number; endOffset: number },
    sync: (file: DiskFile) => Promise<void>,
  ): Promise<void> {
    const { baseOffset, endOffset } = segment;
    const own = this.entries.slice(this.firstEndingAt(baseOffset), this.firstEndingAt(endOffset));
    const saved = this.saved.get(baseOffset) ?? 0;
    if (own.length <= saved) return;
    const file = await disk.open(`${directory}/${offsetName(baseOffset, SUFFIX.transactions)}`, 'create');
    try {
      const bytes = Buffer.concat(own.slice(saved).map(encodeEntry));
      const end = own.length * ENTRY_BYTES;
      await writeAll(file, bytes, saved * ENTRY_BYTES);
      // Entries of batches that recovery cut off.
      if ((await file.size()) > end) await file.truncate(end);
      await sync(file);
      this.saved.set(baseOffset, own.length);
    } finally {
      await file.close();
    }
  }

  /** Reads the files of all segments. Entries at or above `trusted` are left out: whoever replays the batches from
   * there on adds them again. null when a file is damaged below that. */
  static async load(disk: Disk, directory: string, trusted: number): Promise<TransactionIndex | null> {
    const index = new TransactionIndex();
    const bases = (await disk.list(directory))
      .map(name => offsetInName(name, SUFFIX.transactions))
      .filter(base => base !== null)
      .toSorted((a, b) => a - b);
    for (const [i, base] of bases.entries()) {
      const bytes = (await readWhole(disk, `${directory}/${offsetName(base, SUFFIX.transactions)}`)) ?? Buffer.alloc(0);
      const all = decodeEntries(bytes, base);
      const next = bases[i + 1] ?? Infinity;
      // The end of the newest file may be torn: what it says there lies above everything that is trusted.
      if (next <= trusted && (all.length * ENTRY_BYTES !== bytes.length || (all.at(-1)?.lastOffset ?? -1) >= next)) {
        return null;
      }
      const own = all.filter(({ lastOffset }) => lastOffset < trusted);
      index.entries.push(...own);
      index.saved.set(base, own.length);
    }
    return index;
  }

  /** Index of the first entry whose marker lies at or above `offset`. */
  private firstEndingAt(offset: number): number {
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.entries[middle] as AbortedTransaction).lastOffset < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function encodeEntry({ producerId, firstOffset, lastOffset, lastStableOffset }: AbortedTransaction): Buffer {
  const bytes = Buffer.alloc(ENTRY_BYTES);
  [producerId, firstOffset, lastOffset, lastStableOffset].forEach((value, i) => {
    bytes.writeBigInt64BE(BigInt(value), 2 + i * 8);
  });
  return bytes;
}

/** The entries up to the first that cannot be one. */
export function decodeEntries(bytes: Buffer, baseOffset: number): AbortedTransaction[] {
  const entries: AbortedTransaction[] = [];
  let before = baseOffset - 1;
  for (let at = 0; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
    const [producerId, firstOffset, lastOffset, lastStableOffset] = [2, 10, 18, 26].map(from =>
      Number(bytes.readBigInt64BE(at + from)),
    ) as [number, number, number, number];
    if (bytes.readInt16BE(at) !== 0 || lastOffset <= before || firstOffset > lastOffset) break;
    entries.push({ producerId, firstOffset, lastOffset, lastStableOffset });
    before = lastOffset;
  }
  return entries;
}
