import { crc32c } from '../base/crc32c.ts';
import { readVarint } from '../base/varint.ts';
import { ATTRIBUTE, type BatchHeader, CODECS, checkBatch, isControl, isTransactional } from '../log/batch.ts';
import { recordSpans, recordsSection } from '../log/record.ts';
import { refused } from './kafka-error.ts';
import type { TopicSettings } from './topic-config.ts';

/**
 * Checks what a client wants appended to one partition: whole, undamaged batches that say the truth about
 * themselves. Nothing is decompressed, but for compacted topics, whose records need keys. Throws a MillstreamError whose code is the name of Kafka's error.
 */
export function validateBatches(bytes: Uint8Array | null, settings: TopicSettings, now: number): BatchHeader[] {
  if (!bytes || bytes.length === 0) throw refused('INVALID_RECORD', 'A produce request must hold a record batch.');
  const headers: BatchHeader[] = [];
  for (let at = 0; at < bytes.length; ) {
    const magic = bytes[at + 16];
    if (magic !== undefined && magic < 2) {
      throw refused('INVALID_RECORD', `Record batches must have magic 2; this one has ${magic}.`);
    }
    const header = checkBatch(bytes, at);
    checkHeader(header, settings, now);
    if (settings.compacted) checkKeys(bytes.subarray(at, at + header.sizeBytes), header);
    headers.push(header);
    at += header.sizeBytes;
  }
  return headers;
}

/** Throws MESSAGE_TOO_LARGE. */
export function checkSize({ sizeBytes }: BatchHeader, { maxMessageBytes }: TopicSettings): void {
  if (sizeBytes <= maxMessageBytes) return;
  throw refused(
    'MESSAGE_TOO_LARGE',
    `The record batch takes ${sizeBytes} bytes; max.message.bytes is ${maxMessageBytes}.`,
  );
}

function checkHeader(header: BatchHeader, settings: TopicSettings, now: number): void {
  checkSize(header, settings);
  if (isControl(header)) throw refused('INVALID_RECORD', 'Clients must not write control batches.');
  if (isTransactional(header) && header.producerId < 0) {
    throw refused('INVALID_RECORD', 'A transactional batch needs a producer id.');
  }
  if (header.recordCount < 1 || header.recordCount !== header.lastOffsetDelta + 1) {
    throw refused(
      'INVALID_RECORD',
      `The batch says that it holds ${header.recordCount} records up to offset delta ${header.lastOffsetDelta}.`,
    );
  }
  if (CODECS[header.attributes & ATTRIBUTE.codecMask] === undefined) {
    throw refused('UNSUPPORTED_COMPRESSION_TYPE', `Unknown compression codec ${header.attributes & 7}.`);
  }
  if (header.producerId >= 0 && (header.baseSequence < 0 || header.producerEpoch < 0)) {
    throw refused('INVALID_RECORD', 'A batch with a producer id needs an epoch and a sequence.');
  }
  if (settings.appendTime) return;
  if ((header.attributes & ATTRIBUTE.logAppendTime) !== 0) {
    throw refused('INVALID_TIMESTAMP', 'Producers must not set the timestamp type LogAppendTime.');
  }
  if (header.maxTimestamp - now > settings.timestampAfterMaxMs) {
    throw refused('INVALID_TIMESTAMP', `Timestamp ${header.maxTimestamp} is too far ahead of the broker's clock.`);
  }
  if (now - header.baseTimestamp > settings.timestampBeforeMaxMs) {
    throw refused('INVALID_TIMESTAMP', `Timestamp ${header.baseTimestamp} is too far behind the broker's clock.`);
  }
}

/** Compaction would remove a record without a key: throws INVALID_RECORD. */
export function checkKeys(batch: Uint8Array, header: BatchHeader): void {
  const section = recordsSection(batch, header);
  for (const { bodyFrom } of recordSpans(section, header)) {
    if (readVarint(section, { offset: bodyFrom }) >= 0) continue;
    throw refused('INVALID_RECORD', 'A record without a key: every record of a compacted topic needs one.');
  }
}

/** Gives the batches the broker's time (message.timestamp.type = LogAppendTime): one of the few rewrites. */
export function stampAppendTime(bytes: Uint8Array, headers: readonly BatchHeader[], now: number): void {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  for (const header of headers) {
    header.attributes |= ATTRIBUTE.logAppendTime;
    header.maxTimestamp = now;
    view.writeInt16BE(header.attributes, at + 21);
    view.writeBigInt64BE(BigInt(now), at + 35);
    view.writeUInt32BE(crc32c(view.subarray(at + 21, at + header.sizeBytes)), at + 17);
    at += header.sizeBytes;
  }
}

/** Is `bytes` big enough to be kept as the view that it is? A small view would pin a frame of others' bytes. */
export function retention(bytes: Uint8Array): 'own' | 'copy' {
  return bytes.length * 2 >= bytes.buffer.byteLength ? 'own' : 'copy';
}
