import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { compressFrameSync, decompressFrameSync } from 'lz4-napi';
import snappy from 'snappyjs';
import type { Codec } from './batch.ts';

/*
 * Batches pass through the broker untouched; only those that read or make records come here.
 *
 * Snappy has two dresses. Java and kafkajs use snappy-java's stream: 8 bytes magic, two int32 versions, then blocks
 * of { int32 length, raw snappy }. librdkafka may send one raw block. Both are read; the stream is written.
 */
const XERIAL_MAGIC = Uint8Array.of(0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00);
const XERIAL_HEADER_BYTES = 16;
const XERIAL_BLOCK_BYTES = 32 * 1024;

export function compress(codec: Codec, bytes: Uint8Array): Uint8Array {
  switch (codec) {
    case 'none':
      return bytes;
    case 'gzip':
      return gzipSync(bytes);
    case 'snappy':
      return compressSnappy(bytes);
    case 'lz4':
      return compressFrameSync(asBuffer(bytes));
    case 'zstd':
      return zstdCompressSync(bytes);
  }
}

/** Throws when the bytes are damaged or would unpack to more than `maxBytes`. */
export function decompress(codec: Codec, bytes: Uint8Array, maxBytes: number): Uint8Array {
  switch (codec) {
    case 'none':
      return bytes;
    case 'gzip':
      return gunzipSync(bytes, { maxOutputLength: maxBytes });
    case 'snappy':
      return decompressSnappy(bytes, maxBytes);
    case 'lz4':
      refuseLz4Bomb(bytes, maxBytes);
      return decompressFrameSync(asBuffer(bytes));
    case 'zstd':
      return zstdDecompressSync(bytes, { maxOutputLength: maxBytes });
  }
}

function compressSnappy(bytes: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  const head = Buffer.alloc(XERIAL_HEADER_BYTES);
  head.set(XERIAL_MAGIC);
  head.writeInt32BE(1, 8);
  head.writeInt32BE(1, 12);
  parts.push(head);
  for (let at = 0; at < bytes.length; at += XERIAL_BLOCK_BYTES) {
    // A copy: snappyjs reads from the start of the underlying buffer when it is handed a Buffer view.
    const block = snappy.compress(new Uint8Array(bytes.subarray(at, at + XERIAL_BLOCK_BYTES)));
    const length = Buffer.alloc(4);
    length.writeInt32BE(block.length);
    parts.push(length, block);
  }
  return Buffer.concat(parts);
}

function decompressSnappy(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const isStream = bytes.length >= XERIAL_HEADER_BYTES && XERIAL_MAGIC.every((byte, i) => bytes[i] === byte);
  if (!isStream) return snappy.uncompress(new Uint8Array(bytes), maxBytes);
  const view = asBuffer(bytes);
  const parts: Uint8Array[] = [];
  let total = 0;
  for (let at = XERIAL_HEADER_BYTES; at < view.length; ) {
    const length = view.readInt32BE(at);
    at += 4;
    if (length < 0 || at + length > view.length) throw new RangeError('snappy block runs past the end');
    const part = snappy.uncompress(new Uint8Array(view.subarray(at, at + length)), maxBytes - total);
    total += part.length;
    parts.push(part);
    at += length;
  }
  return Buffer.concat(parts, total);
}

/*
 * LZ4 frame: magic 0x184D2204, FLG, BD, [content size 8], [dict id 4], HC, then blocks of { uint32 size, data, [checksum 4] }
 * up to size 0. The binding takes no limit, so the most that the blocks can unpack to is summed up first: a block
 * holds at most BD's maximum, and at most 255 bytes a compressed byte.
 */
function refuseLz4Bomb(bytes: Uint8Array, maxBytes: number): void {
  const view = asBuffer(bytes);
  if (view.length < 7 || view.readUInt32LE(0) !== 0x184d2204) throw new RangeError('not an LZ4 frame');
  const flags = view.readUInt8(4);
  const blockMax = 4 ** (4 + ((view.readUInt8(5) >> 4) & 7)) * 256;
  let at = 7 + ((flags & 0x08) !== 0 ? 8 : 0) + ((flags & 0x01) !== 0 ? 4 : 0);
  let most = 0;
  while (at + 4 <= view.length) {
    const word = view.readUInt32LE(at);
    if (word === 0) break;
    const size = word & 0x7fffffff;
    most += Math.min(blockMax, size * 255);
    if (most > maxBytes) throw new RangeError(`the LZ4 frame may unpack to more than ${maxBytes} bytes`);
    at += 4 + size + ((flags & 0x10) !== 0 ? 4 : 0);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
