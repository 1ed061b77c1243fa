import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { MillstreamError } from '../../core/base/errors.ts';
import { type Lineage, lineageOf } from '../../core/engine/lineage.ts';
import {
  type BatchHeader,
  isControl,
  lastOffset,
  type LogRecord,
  readBatchHeader,
  readRecords,
} from '../../core/engine/records.ts';
import type { PartitionLog } from '../../core/log/log.ts';
import { readMarker } from '../../core/log/marker.ts';

/** What one read takes; the event loop gets its turn behind each. */
const READ_BYTES = 512 * 1024;
/** Markers are appended at once and durable a sync later; longer means that the disk refuses. */
const SETTLE_MS = 10_000;

export interface WalkedBatch {
  batch: Uint8Array;
  header: BatchHeader;
}

/** How many bytes a search may still read. */
export interface Budget {
  bytes: number;
}

/** Every batch that holds offsets of [from, end), aborted and control batches among them. Kind `unavailable`, code
 * SCAN_TOO_LONG when the budget is used up. What retention removes meanwhile is passed over. */
export async function* walk(
  log: PartitionLog,
  from: number,
  end: number,
  budget: Budget = { bytes: Number.POSITIVE_INFINITY },
): AsyncGenerator<WalkedBatch> {
  for (let at = from; at < end; ) {
    at = Math.max(at, log.startOffset);
    if (at >= end) return;
    const read = await log.read(at, READ_BYTES, end);
    budget.bytes -= read.sizeBytes;
    for (const batch of read.batches) {
      const header = readBatchHeader(batch);
      if (lastOffset(header) >= from) yield { batch, header };
    }
    if (read.nextOffset <= at) return;
    if (budget.bytes < 0) {
      throw new MillstreamError('unavailable', 'SCAN_TOO_LONG', `the search in ${log.id.topic} read too much`);
    }
    at = read.nextOffset;
    await nextTurn();
  }
}

/** Waits until everything below `end` can be read; kind `unavailable` when the disk refuses it. */
export async function settled(log: PartitionLog, end: number): Promise<void> {
  for (let waited = 0; log.highWatermark < end; waited += 5) {
    if (waited > SETTLE_MS) {
      throw new MillstreamError('unavailable', 'NOT_DURABLE', `what ${log.id.topic} holds does not become durable`);
    }
    await sleep(5);
  }
}

/** A marker's entries, with its kind and when it was written (milliseconds); null for data. */
export function markerOf({
  batch,
  header,
}: WalkedBatch): { kind: 'commit' | 'abort'; at: number; entries: Lineage[] } | null {
  const marker = readMarker(batch, 0, header);
  return marker && { kind: marker.kind, at: header.maxTimestamp, entries: lineageOf(batch, header) };
}

/** The record at an offset, whether or not its transaction was committed, and the header of its batch; null when there is
 * none: never written, removed, or a marker. */
export async function recordAt(
  log: PartitionLog,
  offset: number,
): Promise<{ record: LogRecord; header: BatchHeader } | null> {
  if (offset < log.startOffset || offset >= log.highWatermark) return null;
  for await (const { batch, header } of walk(log, offset, log.highWatermark)) {
    const record = isControl(header) ? undefined : readRecords(batch).find(each => each.offset === offset);
    return record ? { record, header } : null;
  }
  return null;
}
