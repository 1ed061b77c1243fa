import { crc32c as native } from '@node-rs/crc32';

/** CRC-32C (Castagnoli, RFC 3720 appendix B.4), unsigned; about 14 GB/s. `seed` continues an earlier sum. */
export function crc32c(bytes: Uint8Array, seed?: number): number {
  // The binding accepts a Buffer only; a view costs nothing.
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return native(buffer, seed) >>> 0;
}
