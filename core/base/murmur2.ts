/*
 * MurmurHash2, 32 bits, with the seed of Kafka's Java client (org.apache.kafka.common.utils.Utils.murmur2): what decides
 * the partition of a record with a key, in every client that wants to agree with Java's.
 */
const SEED = 0x9747b28c;
const M = 0x5bd1e995;

/** Java's murmur2 of `bytes`, a signed 32-bit number. */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length;
  let h = SEED ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let k =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    k = Math.imul(k, M);
    k ^= k >>> 24;
    h = Math.imul(h, M) ^ Math.imul(k, M);
  }
  const left = length - at;
  if (left >= 3) h ^= (bytes[at + 2] as number) << 16;
  if (left >= 2) h ^= (bytes[at + 1] as number) << 8;
  if (left >= 1) h = Math.imul(h ^ (bytes[at] as number), M);
  h = Math.imul(h ^ (h >>> 13), M);
  return h ^ (h >>> 15);
}

/** The partition that Java's default partitioner gives to a record with this key. */
export function partitionFor(key: Uint8Array, partitionCount: number): number {
  return (murmur2(key) & 0x7fffffff) % partitionCount;
}
