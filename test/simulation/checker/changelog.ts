import { batchesOf, type Read } from './batches.ts';

/** What a Fetch of committed records said. */
export interface CommittedAnswer {
  records: Uint8Array | null;
  abortedTransactions: readonly { producerId: number; firstOffset: number }[] | null;
}

/** The records of an answer to a Fetch at `next`, and where to go on: the transactions listed are hidden up to their abort
 * marker (KIP-98). */
export class CommittedReader {
  next = 0;

  /** null: there are no more. */
  take({ records, abortedTransactions }: CommittedAnswer): Read[] | null {
    const found: Read[] = [];
    const upcoming = (abortedTransactions ?? []).toSorted((a, b) => a.firstOffset - b.firstOffset);
    const hidden = new Set<number>();
    const batches = batchesOf(records ?? new Uint8Array());
    for (const batch of batches) {
      while (upcoming[0] && upcoming[0].firstOffset <= batch.last) hidden.add(upcoming.shift()?.producerId ?? -1);
      if (batch.marker === 'abort') hidden.delete(batch.producerId);
      if (batch.last < this.next || (batch.isTransactional && hidden.has(batch.producerId))) continue;
      for (const record of batch.records) if (record.offset >= this.next) found.push(record);
    }
    const last = batches.at(-1)?.last;
    if (last === undefined) return null;
    this.next = last + 1;
    return found;
  }
}

/** A compacted topic's partition: of each key the newest value. */
export class Changelog extends CommittedReader {
  readonly values = new Map<string, string>();

  override take(answer: CommittedAnswer): Read[] | null {
    const found = super.take(answer);
    for (const { key, value } of found ?? []) {
      if (key === null) continue;
      if (value === null) this.values.delete(key);
      else this.values.set(key, value);
    }
    return found;
  }
}
