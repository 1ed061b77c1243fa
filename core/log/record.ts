import { type Cursor, readVarint, varintSize, writeVarint } from '../base/varint.ts';
import {
  BATCH_HEADER_BYTES,
  type BatchHeader,
  type Codec,
  CODECS,
  ATTRIBUTE,
  codecOf,
  corrupt,
  readBatchHeader,
  sealBatch,
} from './batch.ts';
import { compress, decompress } from './compression.ts';

/*
 * Record v2 (Kafka protocol guide, "Record"), all numbers zigzag varints:
 *   length, int8 attributes (unused), timestamp delta, offset delta, body
 *   body = key length (-1 null), key, value length (-1 null), value, header count, { key length, key, value length, value }*
 * The body is what module frames carry verbatim.
 */

export type Header = readonly [key: string, value: Uint8Array | null];

/** A record as it lies in a batch; key, value and body are views into the batch's (decompressed) bytes. */
export interface LogRecord {
  offset: number;
  /** Milliseconds since the epoch. */
  timestamp: number;
  key: Uint8Array | null;
  value: Uint8Array | null;
  headers: readonly Header[];
}

/** What is needed to write one: offset is given by the log. */
export interface NewRecord {
  timestamp: number;
  key: Uint8Array | null;
  value: Uint8Array | null;
  headers?: readonly Header[];
}

/** Where a record's parts lie in the records section: for those that copy bodies without decoding them. */
export interface RecordSpan {
  offsetDelta: number;
  timestamp: number;
  bodyFrom: number;
  bodyTo: number;
}

/** The most that a batch may unpack to: a bomb costs a clear error instead of the process's memory. */
export const MAX_UNPACKED_BYTES = 256 * 1024 * 1024;

/** The records section of one batch, decompressed. Kind `data` when it does not decompress. */
export function recordsSection(batch: Uint8Array, header: BatchHeader, maxBytes = MAX_UNPACKED_BYTES): Uint8Array {
  const section = batch.subarray(BATCH_HEADER_BYTES, header.sizeBytes);
  const codec = codecOf(header);
  if (codec === 'none') return section;
  try {
    return decompress(codec, section, maxBytes);
  } catch (error) {
    throw corrupt(`the batch's ${codec} data does not decompress`, error);
  }
}

/** Walks the records of one batch without decoding their bodies. Kind `data` on any length that does not fit. */
export function* recordSpans(section: Uint8Array, header: BatchHeader): Generator<RecordSpan> {
  const at: Cursor = { offset: 0 };
  const appendTime = (header.attributes & ATTRIBUTE.logAppendTime) !== 0;
  for (let i = 0; i < header.recordCount; i++) {
    let span: RecordSpan;
    try {
      const length = readVarint(section, at);
      const bodyTo = at.offset + length;
      if (length < 0 || bodyTo > section.length) throw new RangeError('record runs past its batch');
      at.offset++;
      const timestampDelta = readVarint(section, at, bodyTo);
      const offsetDelta = readVarint(section, at, bodyTo);
      const timestamp = appendTime ? header.maxTimestamp : header.baseTimestamp + timestampDelta;
      span = { offsetDelta, timestamp, bodyFrom: at.offset, bodyTo };
    } catch (error) {
      throw corrupt(`record ${i} of ${header.recordCount} is damaged`, error);
    }
    yield span;
    at.offset = span.bodyTo;
  }
}

/** Decodes a record body (key, value, headers). */
export function readBody(bytes: Uint8Array, from: number, to: number): Pick<LogRecord, 'key' | 'value' | 'headers'> {
  const at: Cursor = { offset: from };
  try {
    const key = readBytes(bytes, at, to);
    const value = readBytes(bytes, at, to);
    const count = readVarint(bytes, at, to);
    if (count < 0 || count > to - at.offset) throw new RangeError(`header count ${count}`);
    const headers: Header[] = [];
    for (let i = 0; i < count; i++) {
      const name = readBytes(bytes, at, to);
      if (name === null) throw new RangeError('a header without a key');
      headers.push([Buffer.from(name.buffer, name.byteOffset, name.length).toString(), readBytes(bytes, at, to)]);
    }
    return { key, value, headers };
  } catch (error) {
    throw corrupt('a record body is damaged', error);
  }
}

/** Decodes every record of one batch. */
export function readRecords(batch: Uint8Array): LogRecord[] {
  const header = readBatchHeader(batch);
  const section = recordsSection(batch, header);
  const records: LogRecord[] = [];
  for (const span of recordSpans(section, header)) {
    records.push({
      offset: header.baseOffset + span.offsetDelta,
      timestamp: span.timestamp,
      ...readBody(section, span.bodyFrom, span.bodyTo),
    });
  }
  return records;
}

export function bodySize(record: Omit<NewRecord, 'timestamp'>): number {
  const headers = record.headers ?? [];
  let size = sizedSize(record.key) + sizedSize(record.value) + varintSize(headers.length);
  for (const [key, value] of headers) {
    const keyBytes = Buffer.byteLength(key);
    size += varintSize(keyBytes) + keyBytes + sizedSize(value);
  }
  return size;
}

/** Writes a body at `offset`; returns the offset behind it. */
export function writeBody(target: Uint8Array, offset: number, record: Omit<NewRecord, 'timestamp'>): number {
  offset = writeSized(target, offset, record.key);
  offset = writeSized(target, offset, record.value);
  const headers = record.headers ?? [];
  offset = writeVarint(target, offset, headers.length);
  for (const [key, value] of headers) {
    offset = writeSized(target, offset, Buffer.from(key));
    offset = writeSized(target, offset, value);
  }
  return offset;
}

export interface BatchOptions {
  codec?: Codec;
  baseOffset?: number;
  leaderEpoch?: number;
  producerId?: number;
  producerEpoch?: number;
  baseSequence?: number;
  /** Further attribute bits (transactional, control). */
  attributes?: number;
}

/** Encodes records (at least one) as one finished batch. */
export function encodeBatch(records: readonly NewRecord[], options: BatchOptions = {}): Uint8Array {
  const base = records[0];
  if (!base) throw corrupt('a batch needs a record');
  const bodies = records.map(bodySize);
  const lengths: number[] = [];
  let total = 0;
  let maxTimestamp = base.timestamp;
  records.forEach((record, i) => {
    const length = 1 + varintSize(record.timestamp - base.timestamp) + varintSize(i) + (bodies[i] as number);
    lengths.push(length);
    total += varintSize(length) + length;
    if (record.timestamp > maxTimestamp) maxTimestamp = record.timestamp;
  });
  const plain = Buffer.allocUnsafe(BATCH_HEADER_BYTES + total);
  let at = BATCH_HEADER_BYTES;
  records.forEach((record, i) => {
    at = writeVarint(plain, at, lengths[i] as number);
    plain[at++] = 0;
    at = writeVarint(plain, at, record.timestamp - base.timestamp);
    at = writeVarint(plain, at, i);
    at = writeBody(plain, at, record);
  });
  const codec = options.codec ?? 'none';
  return finishBatch(plain, codec, {
    baseOffset: options.baseOffset ?? 0,
    leaderEpoch: options.leaderEpoch ?? -1,
    attributes: options.attributes ?? 0,
    lastOffsetDelta: records.length - 1,
    baseTimestamp: base.timestamp,
    maxTimestamp,
    producerId: options.producerId ?? -1,
    producerEpoch: options.producerEpoch ?? -1,
    baseSequence: options.baseSequence ?? -1,
    recordCount: records.length,
  });
}

/** Compresses the records section of `plain` (61 free bytes, then the records) if asked to, and seals the batch. */
export function finishBatch(
  plain: Uint8Array,
  codec: Codec,
  header: Omit<BatchHeader, 'sizeBytes' | 'magic'>,
): Uint8Array {
  const attributes = (header.attributes & ~ATTRIBUTE.codecMask) | CODECS.indexOf(codec);
  let batch = plain;
  if (codec !== 'none') {
    const packed = compress(codec, plain.subarray(BATCH_HEADER_BYTES));
    batch = Buffer.allocUnsafe(BATCH_HEADER_BYTES + packed.length);
    batch.set(packed, BATCH_HEADER_BYTES);
  }
  sealBatch(batch, { ...header, attributes });
  return batch;
}

function readBytes(bytes: Uint8Array, at: Cursor, end: number): Uint8Array | null {
  const length = readVarint(bytes, at, end);
  if (length === -1) return null;
  const from = at.offset;
  if (length < 0 || from + length > end) throw new RangeError(`length ${length} runs past the record`);
  at.offset = from + length;
  return bytes.subarray(from, at.offset);
}

function sizedSize(bytes: Uint8Array | null): number {
  return bytes === null ? 1 : varintSize(bytes.length) + bytes.length;
}

function writeSized(target: Uint8Array, offset: number, bytes: Uint8Array | null): number {
  if (bytes === null) return writeVarint(target, offset, -1);
  offset = writeVarint(target, offset, bytes.length);
  target.set(bytes, offset);
  return offset + bytes.length;
}
