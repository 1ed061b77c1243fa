import { gunzipSync, zstdDecompressSync } from 'node:zlib';

/*
 * The checker's own reader of RecordBatch v2 (Kafka protocol guide, "Record Batch"; KIP-98): written from the layout,
 * without a line of what it checks.
 */
export interface Read {
  offset: number;
  /** Milliseconds since the epoch. */
  timestamp: number;
  key: string | null;
  value: string | null;
  headers: ReadonlyMap<string, string>;
}

export interface Batch {
  base: number;
  last: number;
  /** Stands for the bytes from the attributes on. */
  crc: number;
  producerId: number;
  sequence: number;
  isTransactional: boolean;
  /** Of a control batch. */
  marker: 'commit' | 'abort' | null;
  records: Read[];
}

/** Every batch in fetched bytes; throws on anything that is not one. */
export function batchesOf(bytes: Uint8Array): Batch[] {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const batches: Batch[] = [];
  for (let at = 0; at < all.length; ) {
    const size = all.readInt32BE(at + 8) + 12;
    if (size < 61 || at + size > all.length) throw new Error(`a batch of ${size} bytes at ${at} of ${all.length}`);
    batches.push(batchOf(all.subarray(at, at + size)));
    at += size;
  }
  return batches;
}

function batchOf(bytes: Buffer): Batch {
  const crc = bytes.readUInt32BE(17);
  if (bytes[16] !== 2 || crc32c(bytes.subarray(21)) !== crc) throw new Error('a served batch is damaged');
  const base = Number(bytes.readBigInt64BE(0));
  const attributes = bytes.readInt16BE(21);
  const times = Number(bytes.readBigInt64BE(27));
  const records = recordsOf(unpacked(bytes.subarray(61), attributes & 7), base, times, bytes.readInt32BE(57));
  const isControl = (attributes & 0x20) !== 0;
  return {
    base,
    last: base + bytes.readInt32BE(23),
    crc,
    producerId: Number(bytes.readBigInt64BE(43)),
    sequence: bytes.readInt32BE(53),
    isTransactional: (attributes & 0x10) !== 0,
    // The key of a control record: int16 version, int16 type (0 abort, 1 commit).
    marker: isControl ? (records[0]?.key?.charCodeAt(3) === 1 ? 'commit' : 'abort') : null,
    records: isControl ? [] : records,
  };
}

function unpacked(section: Buffer, codec: number): Buffer {
  if (codec === 0) return section;
  if (codec === 1) return gunzipSync(section);
  if (codec === 4) return zstdDecompressSync(section);
  throw new Error(`nobody here writes with codec ${codec}`);
}

function recordsOf(bytes: Buffer, base: number, times: number, count: number): Read[] {
  const records: Read[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('a record runs past its batch');
      value += (byte & 127) * factor;
      if (byte < 128) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
  };
  const text = (): string | null => {
    const length = varint();
    if (length < 0) return null;
    at += length;
    return bytes.toString('latin1', at - length, at);
  };
  for (let i = 0; i < count; i++) {
    const length = varint();
    const end = at + length;
    at++;
    const timestamp = times + varint();
    const offset = base + varint();
    const key = text();
    const value = text();
    const headers = new Map<string, string>();
    for (let left = varint(); left > 0; left--) headers.set(text() ?? '', text() ?? '');
    if (at !== end) throw new Error(`record ${i} at ${offset} has a wrong length`);
    records.push({ offset, timestamp, key, value, headers });
  }
  if (at !== bytes.length) throw new Error('bytes behind the last record');
  return records;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = (c & 1) !== 0 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c;
});

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (TABLE[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
