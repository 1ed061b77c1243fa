import {
  type BatchHeader,
  BATCH_HEADER_BYTES,
  batchSizeAt,
  isEmptyAt,
  lastOffset,
  nextOffsetAt,
  readBatchHeader,
} from './batch.ts';
import { INDEX_INTERVAL_BYTES } from './offset-index.ts';
import type { ReadBuffers } from './read-buffers.ts';
import { recordSpans, recordsSection } from './record.ts';
import type { Segment } from './segment.ts';

/** What one read takes from the disk at most, whatever the caller has room for. */
const MAX_READ_BYTES = 4 * 1024 * 1024;
/** Reads begin at an index entry: about this much lies before the batch that was asked for. */
const SLACK_BYTES = 2 * INDEX_INTERVAL_BYTES;

export interface DiskRead {
  batches: Uint8Array[];
  /** What they are views of; null when there are none. */
  buffer: Buffer | null;
  /** Behind the batches that were passed over because compaction left only their headers; else the asked offset. */
  passedTo: number;
}

/** Reads whole batches of one segment from the one containing `offset` on, all ending at or below `limit`. The buffer is
 * the caller's to give back. Batches without a record are passed over unless `withEmpty`: kafkajs takes an answer that
 * holds nothing else for the end of the log. */
export async function readBatches(
  segment: Segment,
  buffers: ReadBuffers,
  offset: number,
  limit: number,
  maxBytes: number,
  withEmpty = false,
): Promise<DiskRead> {
  let passedTo = offset;
  const { offsets } = await segment.loadIndexes();
  const sizeBytes = segment.sizeBytes;
  let position = offsets.positionOf(offset);
  let wanted = Math.min(Math.max(maxBytes, BATCH_HEADER_BYTES) + SLACK_BYTES, MAX_READ_BYTES);
  while (position < sizeBytes) {
    const length = Math.min(wanted, sizeBytes - position);
    const buffer = buffers.take(length);
    const chunk = buffer.subarray(0, await segment.read(buffer.subarray(0, length), position));
    const { batches, at, isEnd, passed } = cut(chunk, offset, limit, maxBytes, withEmpty);
    passedTo = Math.max(passedTo, passed);
    if (batches.length > 0) return { batches, buffer, passedTo };
    const left = chunk.length - at;
    // Not reached yet (its batches are bigger than the slack), or the first batch did not fit into the read.
    if (left >= BATCH_HEADER_BYTES) wanted = Math.max(wanted, batchSizeAt(chunk, at));
    buffers.give(buffer);
    if (isEnd || chunk.length === 0) break;
    position += at;
  }
  return { batches: [], buffer: null, passedTo };
}

/** The whole batches in `chunk` that are asked for, and where the walk ended. */
function cut(
  chunk: Buffer,
  offset: number,
  limit: number,
  maxBytes: number,
  withEmpty: boolean,
): { batches: Uint8Array[]; at: number; isEnd: boolean; passed: number } {
  const batches: Uint8Array[] = [];
  let room = maxBytes;
  let at = 0;
  let passed = 0;
  while (at + BATCH_HEADER_BYTES <= chunk.length) {
    const size = batchSizeAt(chunk, at);
    const next = nextOffsetAt(chunk, at);
    if (next > limit || size < BATCH_HEADER_BYTES) return { batches, at, isEnd: true, passed };
    if (next > offset && !withEmpty && isEmptyAt(chunk, at)) passed = next;
    else if (next > offset) {
      if (at + size > chunk.length || (batches.length > 0 && size > room)) break;
      batches.push(chunk.subarray(at, at + size));
      room -= size;
      if (room <= 0) break;
    }
    at += size;
  }
  return { batches, at, isEnd: false, passed };
}

/** The first record at or above `from` with a timestamp >= `timestamp`; null when the segment has none below `limit`. */
export async function findTimestamp(
  segment: Segment,
  buffers: ReadBuffers,
  timestamp: number,
  from: number,
  limit: number,
): Promise<{ offset: number; timestamp: number } | null> {
  const { times } = await segment.loadIndexes();
  let offset = Math.max(from, times.offsetBefore(timestamp));
  while (offset < limit && offset < segment.endOffset) {
    const { batches, buffer } = await readBatches(segment, buffers, offset, limit, 256 * 1024);
    if (!buffer) return null;
    try {
      for (const batch of batches) {
        const header = readBatchHeader(batch);
        const hit = header.maxTimestamp >= timestamp ? firstRecord(batch, header, timestamp, from) : null;
        if (hit) return hit;
        offset = lastOffset(header) + 1;
      }
    } finally {
      buffers.give(buffer);
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
