import { type BatchHeader, batchesIn, lastOffset } from '../log/batch.ts';
import { committedFilter } from '../log/committed-batches.ts';

/** One finished batch as it came, and where it lies in the log. */
export interface FetchedBatch {
  bytes: Uint8Array;
  header: BatchHeader;
}

export interface AbortedTransaction {
  producerId: number;
  firstOffset: number;
}

export interface VisibleBatches {
  batches: FetchedBatch[];
  /** Offset behind everything that was looked at, hidden batches included; `from` when nothing whole was there. */
  next: number;
}

/**
 * The batches of a fetch answer that a reader is to see: without control batches, and (read committed) without those of
 * aborted transactions.
 */
export function visibleBatches(
  records: Uint8Array,
  from: number,
  aborted: readonly AbortedTransaction[],
): VisibleBatches {
  const isVisible = committedFilter(aborted);
  const result: VisibleBatches = { batches: [], next: from };
  for (const { at, header } of batchesIn(records)) {
    const bytes = records.subarray(at, at + header.sizeBytes);
    const last = lastOffset(header);
    if (isVisible(bytes, header) && last >= from) result.batches.push({ bytes, header });
    result.next = Math.max(result.next, last + 1);
  }
  return result;
}
