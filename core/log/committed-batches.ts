import { type BatchHeader, isControl, isTransactional, lastOffset, readBatchHeader } from './batch.ts';
import { readMarker } from './marker.ts';
import type { AbortedTransaction } from './txn-index.ts';

/** Whether a reader of committed records is to see the batch. To be asked of every batch of a range, in order. */
export type CommittedFilter = (batch: Uint8Array, header: BatchHeader) => boolean;

/**
 * Hides control batches and those of aborted transactions: from a transaction's first offset up to its producer's next
 * abort marker. `aborted` is what the log's index says about the range (KIP-98).
 */
export function committedFilter(
  aborted: readonly Pick<AbortedTransaction, 'producerId' | 'firstOffset'>[],
): CommittedFilter {
  const upcoming = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset);
  const hidden = new Set<number>();
  let taken = 0;
  return (batch, header) => {
    const last = lastOffset(header);
    for (let next = upcoming[taken]; next && next.firstOffset <= last; next = upcoming[++taken]) {
      hidden.add(next.producerId);
    }
    if (!isControl(header)) return !(isTransactional(header) && hidden.has(header.producerId));
    // One producer may stand in the list several times: its next transaction is hidden from its own first offset on.
    if (readMarker(batch, 0, header)?.kind === 'abort') hidden.delete(header.producerId);
    return false;
  };
}

/** The batches of one range that the filter lets pass. */
export function committedBatches(
  batches: readonly Uint8Array[],
  aborted: readonly Pick<AbortedTransaction, 'producerId' | 'firstOffset'>[],
): Uint8Array[] {
  const isVisible = committedFilter(aborted);
  return batches.filter(batch => isVisible(batch, readBatchHeader(batch)));
}
