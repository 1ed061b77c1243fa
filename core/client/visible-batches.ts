import { type BatchHeader, batchesIn, isControl, isTransactional, lastOffset } from '../log/batch.ts';
import { readRecords } from '../log/record.ts';

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
 * aborted transactions. A transaction of the list is aborted from its first offset up to its producer's next abort
 * marker; one producer may stand in the list several times.
 */
export function visibleBatches(
  records: Uint8Array,
  from: number,
  aborted: readonly AbortedTransaction[],
): VisibleBatches {
  const upcoming = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset);
  const hidden = new Set<number>();
  const result: VisibleBatches = { batches: [], next: from };
  let taken = 0;
  for (const { at, header } of batchesIn(records)) {
    const last = lastOffset(header);
    for (; taken < upcoming.length && (upcoming[taken] as AbortedTransaction).firstOffset <= last; taken++) {
      hidden.add((upcoming[taken] as AbortedTransaction).producerId);
    }
    const bytes = records.subarray(at, at + header.sizeBytes);
    if (isControl(header)) {
      if (isAbortMarker(bytes)) hidden.delete(header.producerId);
    } else if (last >= from && !(isTransactional(header) && hidden.has(header.producerId))) {
      result.batches.push({ bytes, header });
    }
    result.next = Math.max(result.next, last + 1);
  }
  return result;
}

/** A control record's key: int16 version, int16 type; type 0 aborts, 1 commits (KIP-98). */
function isAbortMarker(batch: Uint8Array): boolean {
  const key = readRecords(batch)[0]?.key;
  return key !== null && key !== undefined && key.length >= 4 && key[2] === 0 && key[3] === 0;
}
