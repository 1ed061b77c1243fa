import { varintSize, writeVarint } from '../../base/varint.ts';
import { ATTRIBUTE, BATCH_HEADER_BYTES, type BatchHeader, codecOf, sealBatch } from '../batch.ts';
import { finishBatch, recordSpans } from '../record.ts';

/** Attribute bit 6 (KIP-534): the base timestamp is the time from which on tombstones and markers may go. */
const DELETE_HORIZON = 0x40;

/** A batch's header alone, as Kafka leaves it: offsets, producer and sequences stay known. */
export function emptyBatch(header: BatchHeader): Uint8Array {
  const batch = Buffer.alloc(BATCH_HEADER_BYTES);
  const attributes = header.attributes & ~(ATTRIBUTE.codecMask | DELETE_HORIZON);
  sealBatch(batch, { ...header, attributes, baseTimestamp: header.maxTimestamp, recordCount: 0 });
  return batch;
}

/**
 * The batch with only the records that are `kept`, in the codec that it had. Base offset, last offset and sequences stay;
 * a delete horizon takes the place of the base timestamp, from which the records' own are then counted.
 */
export function rebuildBatch(
  header: BatchHeader,
  section: Uint8Array,
  kept: readonly boolean[],
  horizon: number | null,
): Uint8Array {
  const baseTimestamp = horizon ?? header.baseTimestamp;
  const hasAppendTime = (header.attributes & ATTRIBUTE.logAppendTime) !== 0;
  // Deltas take at most ten bytes each, whatever they took before.
  const plain = Buffer.allocUnsafe(BATCH_HEADER_BYTES + section.length + kept.length * 20);
  let at = BATCH_HEADER_BYTES;
  let i = 0;
  let recordCount = 0;
  let maxTimestamp = -1;
  for (const { offsetDelta, timestamp, bodyFrom, bodyTo } of recordSpans(section, header)) {
    if (!kept[i++]) continue;
    // Records with append time share the batch's; what their deltas say is nothing.
    const delta = hasAppendTime ? 0 : timestamp - baseTimestamp;
    const length = 1 + varintSize(delta) + varintSize(offsetDelta) + (bodyTo - bodyFrom);
    at = writeVarint(plain, at, length);
    plain[at++] = 0;
    at = writeVarint(plain, at, delta);
    at = writeVarint(plain, at, offsetDelta);
    plain.set(section.subarray(bodyFrom, bodyTo), at);
    at += bodyTo - bodyFrom;
    recordCount++;
    maxTimestamp = Math.max(maxTimestamp, timestamp);
  }
  return finishBatch(plain.subarray(0, at), codecOf(header), {
    ...header,
    attributes: horizon === null ? header.attributes : header.attributes | DELETE_HORIZON,
    baseTimestamp,
    maxTimestamp: hasAppendTime ? header.maxTimestamp : maxTimestamp,
    recordCount,
  });
}
