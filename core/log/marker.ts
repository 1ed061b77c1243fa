import { ATTRIBUTE, BATCH_HEADER_BYTES, type BatchHeader, isControl } from './batch.ts';
import { encodeBatch, type Header, readBody, recordSpans } from './record.ts';

/*
 * How a transaction ends in a partition: a control batch of one uncompressed record (KIP-98, ControlRecordType and
 * EndTransactionMarker), big endian.
 *   key    int16 version 0, int16 type: 0 abort, 1 commit
 *   value  int16 version 0, int32 epoch of the coordinator
 * Its batch carries the producer's id and epoch; it takes an offset, which no reader sees a record at. The record's headers
 * are free: readers of markers take key and value and skip the rest.
 */
const ABORT = 0;
const COMMIT = 1;

export interface Marker {
  kind: 'commit' | 'abort';
  coordinatorEpoch: number;
}

export interface MarkerOptions extends Marker {
  producerId: number;
  producerEpoch: number;
  /** Milliseconds. */
  timestamp: number;
  headers?: readonly Header[];
}

export function encodeMarker(marker: MarkerOptions): Buffer {
  const { kind, coordinatorEpoch, producerId, producerEpoch, timestamp, headers = [] } = marker;
  const key = Buffer.from([0, 0, 0, kind === 'commit' ? COMMIT : ABORT]);
  const value = Buffer.alloc(6);
  value.writeInt32BE(coordinatorEpoch, 2);
  const attributes = ATTRIBUTE.control | ATTRIBUTE.transactional;
  const batch = encodeBatch([{ timestamp, key, value, headers }], { producerId, producerEpoch, attributes });
  return Buffer.from(batch.buffer, batch.byteOffset, batch.length);
}

/** The marker in the batch whose header lies at `at`; null for data, and for control batches of other kinds. */
export function readMarker(bytes: Uint8Array, at: number, header: BatchHeader): Marker | null {
  if (!isControl(header) || header.recordCount < 1) return null;
  const section = bytes.subarray(at + BATCH_HEADER_BYTES, at + header.sizeBytes);
  try {
    for (const { bodyFrom, bodyTo } of recordSpans(section, header)) {
      const { key, value } = readBody(section, bodyFrom, bodyTo);
      if (!key || key.length < 4) return null;
      const type = ((key[2] as number) << 8) | (key[3] as number);
      if (type !== ABORT && type !== COMMIT) return null;
      const coordinatorEpoch = value && value.length >= 6 ? Buffer.from(value).readInt32BE(2) : -1;
      return { kind: type === COMMIT ? 'commit' : 'abort', coordinatorEpoch };
    }
  } catch {
    // A control batch that nobody can read ends no transaction.
  }
  return null;
}
