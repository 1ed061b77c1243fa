import { isControl, isTransactional, lastOffset, readBatchHeader } from './batch.ts';
import { readMarker } from './marker.ts';
import type { AbortedTransaction } from './txn-index.ts';

/**
 * The batches that a reader of committed records is to see: without control batches and without those of aborted
 * transactions. `aborted` is what the log's index says about the range that the batches span.
 */
export function committedBatches(
  batches: readonly Uint8Array[],
  aborted: readonly Pick<AbortedTransaction, 'producerId' | 'firstOffset'>[],
): Uint8Array[] {
  const upcoming = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset);
  const hidden = new Set<number>();
  let taken = 0;
  return batches.filter(batch => {
    const header = readBatchHeader(batch);
    const last = lastOffset(header);
    for (let next = upcoming[taken]; next && next.firstOffset <= last; next = upcoming[++taken]) {
      hidden.add(next.producerId);
    }
    if (!isControl(header)) return !(isTransactional(header) && hidden.has(header.producerId));
    // One producer may stand in the list several times: its next transaction is hidden from its own first offset on.
    if (readMarker(batch, 0, header)?.kind === 'abort') hidden.delete(header.producerId);
    return false;
  });
}
