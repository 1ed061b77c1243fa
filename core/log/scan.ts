import { crc32c } from '../base/crc32c.ts';
import { BATCH_HEADER_BYTES, type BatchHeader, isControl, lastOffset, readBatchHeader } from './batch.ts';
import { type Marker, readMarker } from './marker.ts';

const CHUNK_BYTES = 1024 * 1024;
/** The CRC covers a batch from here on (see batch.ts). */
const CRC_FROM = 21;
const CRC_AT = 17;

/** A file, or a segment that opens its file by itself. */
export interface ScanSource {
  read(target: Uint8Array, position: number): Promise<number>;
}

export interface ScanRange {
  /** Position of a batch's first byte. */
  from: number;
  /** Position behind the last byte that may hold a batch. */
  to: number;
  /** Offset that the first batch must have; those behind it must follow without a gap. */
  offset: number;
  checkCrc: boolean;
  /** Below this offset compaction may have left gaps; a batch behind one must end below it. Default: no gaps. */
  gapsBelow?: number;
}

export interface ScanEnd {
  /** Behind the last good batch. */
  position: number;
  offset: number;
  /** Why the scan ended before `to`; null when it did not. All zeros is the end of what was written. */
  bad: 'zeros' | 'torn' | null;
}

/** Walks the batches in a part of a file, in order, until the first that is not whole and right. */
export async function scanBatches(
  file: ScanSource,
  range: ScanRange,
  onBatch: (header: BatchHeader, position: number, marker: Marker | null) => void,
): Promise<ScanEnd> {
  let position = range.from;
  let offset = range.offset;
  let chunk = Buffer.alloc(0);
  let chunkAt = position;
  const end = (bad: ScanEnd['bad']): ScanEnd => ({ position, offset, bad });
  /** Makes sure that the chunk holds `length` bytes from `position` on, as far as the range goes. */
  const fill = async (length: number): Promise<number> => {
    const have = chunkAt + chunk.length - position;
    if (position >= chunkAt && have >= length) return have;
    const wanted = Math.min(Math.max(length, CHUNK_BYTES), range.to - position);
    const fresh = Buffer.allocUnsafe(wanted);
    chunk = fresh.subarray(0, await file.read(fresh, position));
    chunkAt = position;
    return chunk.length;
  };
  while (position < range.to) {
    if ((await fill(BATCH_HEADER_BYTES)) < BATCH_HEADER_BYTES) {
      return end(chunk.subarray(position - chunkAt).every(byte => byte === 0) ? 'zeros' : 'torn');
    }
    const header = readBatchHeader(chunk, position - chunkAt);
    if (!isPlausible(header, offset, range.to - position, range.gapsBelow ?? 0)) {
      const head = chunk.subarray(position - chunkAt, position - chunkAt + BATCH_HEADER_BYTES);
      return end(head.every(byte => byte === 0) ? 'zeros' : 'torn');
    }
    if (range.checkCrc) {
      if ((await fill(Math.min(header.sizeBytes, CHUNK_BYTES))) < Math.min(header.sizeBytes, CHUNK_BYTES)) {
        return end('torn');
      }
      const at = position - chunkAt;
      const stored = chunk.readUInt32BE(at + CRC_AT);
      const here = chunk.subarray(at + CRC_FROM, Math.min(at + header.sizeBytes, chunk.length));
      const rest = position + CRC_FROM + here.length;
      const sum = await crcOfRest(file, rest, position + header.sizeBytes, crc32c(here));
      if (sum !== stored) return end('torn');
    }
    let marker: Marker | null = null;
    if (isControl(header) && header.sizeBytes <= CHUNK_BYTES && (await fill(header.sizeBytes)) >= header.sizeBytes) {
      marker = readMarker(chunk, position - chunkAt, header);
    }
    onBatch(header, position, marker);
    position += header.sizeBytes;
    offset = lastOffset(header) + 1;
  }
  return end(null);
}

function isPlausible(header: BatchHeader, offset: number, room: number, gapsBelow: number): boolean {
  return (
    header.magic === 2 &&
    (header.baseOffset === offset || (header.baseOffset > offset && lastOffset(header) < gapsBelow)) &&
    header.sizeBytes >= BATCH_HEADER_BYTES &&
    header.sizeBytes <= room &&
    header.lastOffsetDelta >= 0 &&
    header.recordCount >= 0
  );
}

/** A batch bigger than a chunk is summed piece by piece: a damaged length must not cost a gigabyte of memory. */
async function crcOfRest(file: ScanSource, from: number, to: number, sum: number): Promise<number> {
  const piece = from < to ? Buffer.allocUnsafe(Math.min(CHUNK_BYTES, to - from)) : Buffer.alloc(0);
  for (let at = from; at < to; ) {
    const read = await file.read(piece.subarray(0, Math.min(piece.length, to - at)), at);
    if (read === 0) return -1;
    sum = crc32c(piece.subarray(0, read), sum);
    at += read;
  }
  return sum;
}
