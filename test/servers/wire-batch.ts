/**
 * Record batches for tests, encoded and decoded by hand: independent of core, so that it can judge core.
 *
 * RecordBatch v2: i64 base offset · i32 length of what follows · i32 leader epoch · i8 magic 2 · u32 crc32c of what
 * follows · i16 attributes · i32 last offset delta · i64 base timestamp · i64 max timestamp · i64 producer id ·
 * i16 producer epoch · i32 base sequence · i32 record count · records. A record: varint length · i8 attributes ·
 * varint timestamp delta · varint offset delta · varint key length, key · varint value length, value · varint headers.
 */
import { crc32c } from '@node-rs/crc32';

export interface WireBatch {
  values: Buffer[];
  producerId?: bigint;
  producerEpoch?: number;
  baseSequence?: number;
  timestamp?: number;
}

const HEADER = 61;

function varint(value: number): Buffer {
  let rest = value < 0 ? -value * 2 - 1 : value * 2;
  const bytes: number[] = [];
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** Records without keys and headers, uncompressed. */
export function encodeBatch(batch: WireBatch): Buffer {
  const records = batch.values.map((value, i) => {
    const body = Buffer.concat([
      Buffer.from([0]),
      varint(0),
      varint(i),
      varint(-1),
      varint(value.length),
      value,
      varint(0),
    ]);
    return Buffer.concat([varint(body.length), body]);
  });
  const header = Buffer.alloc(HEADER);
  const timestamp = BigInt(batch.timestamp ?? Date.now());
  const bytes = Buffer.concat([header, ...records]);
  bytes.writeInt32BE(bytes.length - 12, 8);
  bytes.writeInt32BE(-1, 12);
  bytes.writeInt8(2, 16);
  bytes.writeInt32BE(batch.values.length - 1, 23);
  bytes.writeBigInt64BE(timestamp, 27);
  bytes.writeBigInt64BE(timestamp, 35);
  bytes.writeBigInt64BE(batch.producerId ?? -1n, 43);
  bytes.writeInt16BE(batch.producerEpoch ?? -1, 51);
  bytes.writeInt32BE(batch.baseSequence ?? -1, 53);
  bytes.writeInt32BE(batch.values.length, 57);
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17);
  return bytes;
}

export interface DecodedBatch {
  baseOffset: number;
  lastOffset: number;
  attributes: number;
  maxTimestamp: number;
  producerId: bigint;
  baseSequence: number;
  count: number;
  /** The batch as it came, header included. */
  bytes: Buffer;
}

/** Splits the bytes of a fetch answer into batches; a last, incomplete one is left out. Throws when a CRC is wrong. */
export function decodeBatches(bytes: Buffer): DecodedBatch[] {
  const batches: DecodedBatch[] = [];
  let at = 0;
  while (at + HEADER <= bytes.length) {
    const end = at + 12 + bytes.readInt32BE(at + 8);
    if (end > bytes.length) break;
    const batch = bytes.subarray(at, end);
    const baseOffset = Number(batch.readBigInt64BE(0));
    if (crc32c(batch.subarray(21)) !== batch.readUInt32BE(17)) throw new Error(`wrong CRC at offset ${baseOffset}`);
    batches.push({
      baseOffset,
      lastOffset: baseOffset + batch.readInt32BE(23),
      attributes: batch.readInt16BE(21),
      maxTimestamp: Number(batch.readBigInt64BE(35)),
      producerId: batch.readBigInt64BE(43),
      baseSequence: batch.readInt32BE(53),
      count: batch.readInt32BE(57),
      bytes: batch,
    });
    at = end;
  }
  return batches;
}

export interface DecodedRecord {
  offset: number;
  key: Buffer | null;
  value: Buffer;
  headers: Map<string, string>;
}

/** The records of an uncompressed batch; a null value comes as an empty one. */
export function decodeRecords(batch: DecodedBatch): DecodedRecord[] {
  const bytes = batch.bytes;
  let at = HEADER;
  const read = (): number => {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  };
  const data = (): Buffer | null => {
    const length = read();
    if (length < 0) return null;
    at += length;
    return bytes.subarray(at - length, at);
  };
  return Array.from({ length: batch.count }, () => {
    const length = read();
    const end = at + length;
    at += 1;
    read();
    const offset = batch.baseOffset + read();
    const key = data();
    const value = data() ?? Buffer.alloc(0);
    const headers = new Map<string, string>();
    for (let left = read(); left > 0; left--) headers.set(String(data()), String(data()));
    at = end;
    return { offset, key, value, headers };
  });
}

export const decodeValues = (batch: DecodedBatch): { offset: number; value: Buffer }[] =>
  decodeRecords(batch).map(({ offset, value }) => ({ offset, value }));

const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;

/**
 * What a reader of committed records keeps of one fetch answer: no control batches, and of each aborted transaction
 * nothing from its first offset to its marker (KIP-98).
 */
export function committedBatches(
  batches: readonly DecodedBatch[],
  aborted: readonly { producerId: bigint; firstOffset: number }[],
): DecodedBatch[] {
  const waiting = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset);
  const dropping = new Set<bigint>();
  return batches.filter(batch => {
    while (waiting[0] !== undefined && waiting[0].firstOffset <= batch.lastOffset) {
      dropping.add(waiting.shift()?.producerId ?? -1n);
    }
    if ((batch.attributes & CONTROL) !== 0) {
      // Either marker ends the producer's transaction.
      dropping.delete(batch.producerId);
      return false;
    }
    return (batch.attributes & TRANSACTIONAL) === 0 || !dropping.has(batch.producerId);
  });
}
