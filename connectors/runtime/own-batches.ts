/** Memory that may stay for nothing beside what is kept. */
const MOST_PINNED = 1.25;

/**
 * The batches in memory that holds little else. Rows are views of their batch and live until they are committed, as long
 * as the outside system takes: where a batch is a small part of what it was read into (a read buffer, a page of the tail
 * cache), the whole of that would stay with it, uncounted.
 */
export function ownBatches(batches: readonly Uint8Array[]): readonly Uint8Array[] {
  const pinned = new Set<ArrayBufferLike>();
  let size = 0;
  for (const { buffer, length } of batches) {
    pinned.add(buffer);
    size += length;
  }
  let pinnedBytes = 0;
  for (const { byteLength } of pinned) pinnedBytes += byteLength;
  if (pinnedBytes <= size * MOST_PINNED) return batches;
  const own = Buffer.allocUnsafeSlow(size);
  let end = 0;
  return batches.map(batch => {
    own.set(batch, end);
    return own.subarray(end, (end += batch.length));
  });
}
