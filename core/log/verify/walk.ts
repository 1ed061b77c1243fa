import type { DiskFile } from '../../base/disk.ts';
import { crc32c } from '../../base/crc32c.ts';
import { BATCH_HEADER_BYTES, type BatchHeader, readBatchHeader } from '../batch.ts';

const CHUNK_BYTES = 1024 * 1024;
const CRC_AT = 17;
const CRC_FROM = 21;

export interface WalkEnd {
  /** Behind the last good batch. */
  position: number;
  /** Null at the file's end; `zeros` when nothing but zeros follows. */
  bad: string | null;
}

/**
 * Every batch of one file from its first byte, checked for its form and its CRC alone: what its fields mean beside
 * those of other batches is for `onBatch` to judge. `wantsBytes` says of which batches it wants the bytes too,
 * `refuse` may end the walk before a batch.
 */
export async function walkBatches(
  file: DiskFile,
  onBatch: (header: BatchHeader, position: number, bytes: Uint8Array | null) => void,
  wantsBytes: (header: BatchHeader) => boolean = () => false,
  refuse: (header: BatchHeader) => string | null = () => null,
): Promise<WalkEnd> {
  const size = await file.size();
  let position = 0;
  let chunk = Buffer.alloc(0);
  let chunkAt = 0;
  const fill = async (length: number): Promise<Buffer> => {
    if (position < chunkAt || position + length > chunkAt + chunk.length) {
      const fresh = Buffer.allocUnsafe(Math.min(Math.max(length, CHUNK_BYTES), size - position));
      chunk = fresh.subarray(0, await file.read(fresh, position));
      chunkAt = position;
    }
    return chunk.subarray(position - chunkAt);
  };
  while (position < size) {
    let here = await fill(Math.min(BATCH_HEADER_BYTES, size - position));
    if (here.subarray(0, BATCH_HEADER_BYTES).every(byte => byte === 0)) {
      return { position, bad: (await isZero(file, position, size)) ? 'zeros' : 'zeros where a batch should begin' };
    }
    if (here.length < BATCH_HEADER_BYTES) return { position, bad: `a batch of only ${here.length} bytes` };
    const header = readBatchHeader(here);
    if (header.magic !== 2) return { position, bad: `a batch of magic ${header.magic}` };
    if (header.sizeBytes < BATCH_HEADER_BYTES || header.sizeBytes > size - position) {
      return { position, bad: `a batch of ${header.sizeBytes} bytes where the file has ${size - position} left` };
    }
    if (header.lastOffsetDelta < 0 || header.recordCount < 0 || header.recordCount > header.lastOffsetDelta + 1) {
      return { position, bad: `a batch of ${header.recordCount} records over ${header.lastOffsetDelta + 1} offsets` };
    }
    const isWanted = wantsBytes(header);
    here = await fill(Math.min(header.sizeBytes, isWanted ? Infinity : CHUNK_BYTES));
    const stored = here.readUInt32BE(CRC_AT);
    const known = here.subarray(CRC_FROM, header.sizeBytes);
    const sum = await crcOfRest(file, position + CRC_FROM + known.length, position + header.sizeBytes, crc32c(known));
    if (sum !== stored) return { position, bad: `a batch whose CRC is ${sum} while its header says ${stored}` };
    const refused = refuse(header);
    if (refused !== null) return { position, bad: refused };
    onBatch(header, position, isWanted ? here.subarray(0, header.sizeBytes) : null);
    position += header.sizeBytes;
  }
  return { position, bad: null };
}

/** Piece by piece: a damaged length must not cost a gigabyte of memory. */
async function crcOfRest(file: DiskFile, from: number, to: number, sum: number): Promise<number> {
  const piece = Buffer.allocUnsafe(Math.max(0, Math.min(CHUNK_BYTES, to - from)));
  for (let at = from; at < to; ) {
    const read = await file.read(piece.subarray(0, Math.min(piece.length, to - at)), at);
    if (read === 0) return -1;
    sum = crc32c(piece.subarray(0, read), sum);
    at += read;
  }
  return sum;
}

async function isZero(file: DiskFile, from: number, to: number): Promise<boolean> {
  const piece = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let at = from; at < to; ) {
    const read = await file.read(piece.subarray(0, Math.min(piece.length, to - at)), at);
    if (read === 0) return true;
    if (!piece.subarray(0, read).every(byte => byte === 0)) return false;
    at += read;
  }
  return true;
}
