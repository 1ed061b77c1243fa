import { crc32c } from '../base/crc32c.ts';
import { MillstreamError } from '../base/errors.ts';

/*
 * RecordBatch v2, big endian (Kafka protocol guide, "Record Batch"; KIP-98). The log's bytes are these bytes.
 *
 *    0  int64  base offset            patched by the log; not under the CRC
 *    8  int32  batch length           bytes behind this field (total - 12)
 *   12  int32  partition leader epoch patched by the log; not under the CRC
 *   16  int8   magic                  2
 *   17  uint32 CRC-32C                over everything from byte 21 on
 *   21  int16  attributes             bits 0-2 codec, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon
 *   23  int32  last offset delta
 *   27  int64  base timestamp
 *   35  int64  max timestamp
 *   43  int64  producer id            -1: none
 *   51  int16  producer epoch
 *   53  int32  base sequence
 *   57  int32  record count
 *   61  records, compressed as a whole by the codec
 */
export const BATCH_HEADER_BYTES = 61;
/** Base offset and length: what must be read to know where the next batch begins. */
export const BATCH_PREFIX_BYTES = 12;
const CRC_FROM = 21;

export interface BatchHeader {
  baseOffset: number;
  /** The whole batch, from byte 0. */
  sizeBytes: number;
  leaderEpoch: number;
  magic: number;
  attributes: number;
  lastOffsetDelta: number;
  baseTimestamp: number;
  maxTimestamp: number;
  /** Producer ids stay far below 2^53. */
  producerId: number;
  producerEpoch: number;
  baseSequence: number;
  recordCount: number;
}

export const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;
export type Codec = (typeof CODECS)[number];

export const ATTRIBUTE = { codecMask: 0x07, logAppendTime: 0x08, transactional: 0x10, control: 0x20 } as const;

export const isControl = (header: { attributes: number }): boolean => (header.attributes & ATTRIBUTE.control) !== 0;
export const isTransactional = (header: { attributes: number }): boolean =>
  (header.attributes & ATTRIBUTE.transactional) !== 0;
export const lastOffset = (header: { baseOffset: number; lastOffsetDelta: number }): number =>
  header.baseOffset + header.lastOffsetDelta;

export function codecOf(header: { attributes: number }): Codec {
  const codec = CODECS[header.attributes & ATTRIBUTE.codecMask];
  if (!codec) throw corrupt(`unknown compression codec ${header.attributes & ATTRIBUTE.codecMask}`);
  return codec;
}

/** Size in bytes of the batch that begins at `at`; only the first 12 bytes must be there. */
export function batchSizeAt(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at + 8) + BATCH_PREFIX_BYTES;
}

/** Offset behind the batch that begins at `at`; only its first 27 bytes must be there. */
export function nextOffsetAt(bytes: Uint8Array, at: number): number {
  return readInt64(bytes, at) + readInt32(bytes, at + 23) + 1;
}

/** Does the batch that begins at `at` hold no record? Compaction and modules leave such; only its header must be there. */
export const isEmptyAt = (bytes: Uint8Array, at: number): boolean => readInt32(bytes, at + 57) === 0;

/** Reads the 61 header bytes at `at`, without checking the CRC. Throws kind `data` when they are not there. */
export function readBatchHeader(bytes: Uint8Array, at = 0): BatchHeader {
  if (bytes.length - at < BATCH_HEADER_BYTES) throw corrupt('a record batch needs 61 bytes');
  return {
    baseOffset: readInt64(bytes, at),
    sizeBytes: batchSizeAt(bytes, at),
    leaderEpoch: readInt32(bytes, at + 12),
    magic: ((bytes[at + 16] as number) << 24) >> 24,
    attributes: readInt16(bytes, at + 21),
    lastOffsetDelta: readInt32(bytes, at + 23),
    baseTimestamp: readInt64(bytes, at + 27),
    maxTimestamp: readInt64(bytes, at + 35),
    producerId: readInt64(bytes, at + 43),
    producerEpoch: readInt16(bytes, at + 51),
    baseSequence: readInt32(bytes, at + 53),
    recordCount: readInt32(bytes, at + 57),
  };
}

/** Checks that one whole, undamaged batch lies at `at`; returns its header. Kind `data`, code CORRUPT_BATCH. */
export function checkBatch(bytes: Uint8Array, at = 0): BatchHeader {
  const header = readBatchHeader(bytes, at);
  if (header.magic !== 2) throw corrupt(`record batch magic ${header.magic} is not 2`);
  if (header.sizeBytes < BATCH_HEADER_BYTES || at + header.sizeBytes > bytes.length) {
    throw corrupt(`record batch of ${header.sizeBytes} bytes does not fit the ${bytes.length - at} that are there`);
  }
  const stored = readUint32(bytes, at + 17);
  const actual = crc32c(bytes.subarray(at + CRC_FROM, at + header.sizeBytes));
  if (stored !== actual) throw corrupt(`record batch CRC is ${actual}, its header says ${stored}`);
  if (header.recordCount < 0 || header.lastOffsetDelta < 0) throw corrupt('record batch with a negative count');
  return header;
}

/** Patches the two fields that the CRC leaves out. */
export function patchBatch(bytes: Uint8Array, at: number, baseOffset: number, leaderEpoch: number): void {
  writeInt64(bytes, at, baseOffset);
  writeInt32(bytes, at + 12, leaderEpoch);
}

/** Writes a header whose records are already in place behind it, CRC last. `target` is exactly one batch. */
export function sealBatch(target: Uint8Array, header: Omit<BatchHeader, 'sizeBytes' | 'magic'>): void {
  writeInt64(target, 0, header.baseOffset);
  writeInt32(target, 8, target.length - BATCH_PREFIX_BYTES);
  writeInt32(target, 12, header.leaderEpoch);
  target[16] = 2;
  writeInt16(target, 21, header.attributes);
  writeInt32(target, 23, header.lastOffsetDelta);
  writeInt64(target, 27, header.baseTimestamp);
  writeInt64(target, 35, header.maxTimestamp);
  writeInt64(target, 43, header.producerId);
  writeInt16(target, 51, header.producerEpoch);
  writeInt32(target, 53, header.baseSequence);
  writeInt32(target, 57, header.recordCount);
  writeInt32(target, 17, crc32c(target.subarray(CRC_FROM)));
}

/** Walks the headers of batches that lie one behind the other; stops before one that is not whole. */
export function* batchesIn(bytes: Uint8Array): Generator<{ at: number; header: BatchHeader }> {
  for (let at = 0; at + BATCH_HEADER_BYTES <= bytes.length; ) {
    const header = readBatchHeader(bytes, at);
    if (header.sizeBytes < BATCH_HEADER_BYTES || at + header.sizeBytes > bytes.length) return;
    yield { at, header };
    at += header.sizeBytes;
  }
}

export function corrupt(message: string, cause?: unknown): MillstreamError {
  return new MillstreamError('data', 'CORRUPT_BATCH', message, { cause });
}

const readInt16 = (b: Uint8Array, at: number): number => (((b[at] as number) << 24) >> 16) | (b[at + 1] as number);
const readInt32 = (b: Uint8Array, at: number): number =>
  ((b[at] as number) << 24) | ((b[at + 1] as number) << 16) | ((b[at + 2] as number) << 8) | (b[at + 3] as number);
const readUint32 = (b: Uint8Array, at: number): number => readInt32(b, at) >>> 0;
const readInt64 = (b: Uint8Array, at: number): number => readInt32(b, at) * 4294967296 + readUint32(b, at + 4);

function writeInt16(b: Uint8Array, at: number, value: number): void {
  b[at] = value >> 8;
  b[at + 1] = value;
}
function writeInt32(b: Uint8Array, at: number, value: number): void {
  b[at] = value >> 24;
  b[at + 1] = value >> 16;
  b[at + 2] = value >> 8;
  b[at + 3] = value;
}
function writeInt64(b: Uint8Array, at: number, value: number): void {
  writeInt32(b, at, Math.floor(value / 4294967296));
  writeInt32(b, at + 4, value >>> 0);
}
