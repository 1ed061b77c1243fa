import { type BatchHeader, patchBatch } from './batch.ts';

/** What batches come to: bytes, and how many offsets they take. */
export function extentOf(headers: readonly BatchHeader[]): { sizeBytes: number; offsets: number } {
  let sizeBytes = 0;
  let offsets = 0;
  for (const header of headers) {
    sizeBytes += header.sizeBytes;
    offsets += header.lastOffsetDelta + 1;
  }
  return { sizeBytes, offsets };
}

/** Gives batches their place: from `offset` on, in the bytes and in the headers. */
export function stamp(bytes: Uint8Array, headers: readonly BatchHeader[], offset: number, leaderEpoch: number): void {
  let at = 0;
  for (const header of headers) {
    patchBatch(bytes, at, offset, leaderEpoch);
    header.baseOffset = offset;
    header.leaderEpoch = leaderEpoch;
    offset += header.lastOffsetDelta + 1;
    at += header.sizeBytes;
  }
}
