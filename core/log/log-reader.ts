import {
  type BatchHeader,
  BATCH_HEADER_BYTES,
  batchSizeAt,
  lastOffset,
  nextOffsetAt,
  readBatchHeader,
} from './batch.ts';
import { INDEX_INTERVAL_BYTES } from './offset-index.ts';
import { recordSpans, recordsSection } from './record.ts';
import type { Segment } from './segment.ts';

/** What one read takes from the disk at most, whatever the caller has room for. */
const MAX_READ_BYTES = 4 * 1024 * 1024;
/** Reads begin at an index entry: about this much lies before the batch that was asked for. */
const SLACK_BYTES = 2 * INDEX_INTERVAL_BYTES;

/** Reads whole batches of one segment from the one containing `offset` on, all ending at or below `limit`. */
export async function readBatches(
  segment: Segment,
  offset: number,
  limit: number,
  maxBytes: number,
): Promise<Uint8Array[]> {
  const { offsets } = await segment.loadIndexes();
  const sizeBytes = segment.sizeBytes;
  const found: Uint8Array[] = [];
  let position = offsets.positionOf(offset);
  let wanted = Math.min(Math.max(maxBytes, BATCH_HEADER_BYTES) + SLACK_BYTES, MAX_READ_BYTES);
  let room = maxBytes;
  while (position < sizeBytes) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(wanted, sizeBytes - position));
    const chunk = buffer.subarray(0, await segment.read(buffer, position));
    let at = 0;
    while (at + BATCH_HEADER_BYTES <= chunk.length) {
      const size = batchSizeAt(chunk, at);
      const next = nextOffsetAt(chunk, at);
      if (next > limit || size < BATCH_HEADER_BYTES) return found;
      if (next > offset) {
        if (found.length > 0 && size > room) return found;
        if (at + size > chunk.length) break;
        found.push(chunk.subarray(at, at + size));
        room -= size;
        if (room <= 0) return found;
      }
      at += size;
    }
    if (found.length > 0 || chunk.length === 0) return found;
    // Not reached yet (its batches are bigger than the slack), or the first batch did not fit into the read.
    position += at;
    const left = chunk.length - at;
    wanted = left >= BATCH_HEADER_BYTES ? Math.max(wanted, batchSizeAt(chunk, at)) : wanted;
  }
  return found;
}

/** The first record at or above `from` with a timestamp >= `timestamp`; null when the segment has none below `limit`. */
export async function findTimestamp(
  segment: Segment,
  timestamp: number,
  from: number,
  limit: number,
): Promise<{ offset: number; timestamp: number } | null> {
  const { times } = await segment.loadIndexes();
  let offset = Math.max(from, times.offsetBefore(timestamp));
  while (offset < limit && offset < segment.endOffset) {
    const batches = await readBatches(segment, offset, limit, 256 * 1024);
    if (batches.length === 0) return null;
    for (const batch of batches) {
      const header = readBatchHeader(batch);
      const hit = header.maxTimestamp >= timestamp ? firstRecord(batch, header, timestamp, from) : null;
      if (hit) return hit;
      offset = lastOffset(header) + 1;
    }
  }
  return null;
}

function firstRecord(
  batch: Uint8Array,
  header: BatchHeader,
  timestamp: number,
  from: number,
): { offset: number; timestamp: number } | null {
  try {
    for (const span of recordSpans(recordsSection(batch, header), header)) {
      const offset = header.baseOffset + span.offsetDelta;
      if (span.timestamp >= timestamp && offset >= from) return { offset, timestamp: span.timestamp };
    }
    return null;
  } catch {
    // The broker does not unpack what it is sent: records that nobody can read must not make the search fail.
    return { offset: Math.max(from, header.baseOffset), timestamp: header.maxTimestamp };
  }
}
