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

/**
 * Those of the aborted transactions that hide a batch of the range, in the order in which their batches come. kafkajs
 * 2.2.4 takes one entry of the list for each record that it goes through: behind entries that hide nothing it would
 * come too late to the one that it needs, and deliver what was aborted.
 */
export function hidingTransactions(
  batches: readonly Uint8Array[],
  aborted: readonly AbortedTransaction[],
): AbortedTransaction[] {
  if (aborted.length < 2) return [...aborted];
  const byProducer = Map.groupBy(aborted, ({ producerId }) => producerId);
  const hiding = new Set<AbortedTransaction>();
  for (const batch of batches) {
    const header = readBatchHeader(batch);
    if (isControl(header) || !isTransactional(header)) continue;
    const { baseOffset } = header;
    const transaction = byProducer
      .get(header.producerId)
      ?.find(({ firstOffset, lastOffset: end }) => firstOffset <= baseOffset && baseOffset < end);
    if (transaction) hiding.add(transaction);
  }
  return [...hiding];
}
