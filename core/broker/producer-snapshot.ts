import { crc32c } from '../base/crc32c.ts';
import { corrupt } from '../log/batch.ts';
import { subtractSequence } from '../log/sequence.ts';
import type { ProducerEntry } from './producer-entry.ts';

/*
 * Kafka's producer snapshot (ProducerStateManager, version 1), big endian; `kafka-dump-log` prints it:
 *   int16 version = 1, uint32 CRC-32C of everything behind it, int32 count, then per entry
 *   int64 producer id, int16 epoch, int32 last sequence, int64 last offset, int32 offset delta, int64 timestamp,
 *   int32 coordinator epoch, int64 first offset of the open transaction (-1)
 * Kafka writes one entry a producer, its last batch. We write one for each remembered batch, oldest first: Kafka's
 * reader keeps the last, ours keeps the window, so that a retry just after a clean restart is still recognised.
 * A producer of which only the epoch is known has last sequence -1.
 */
const HEAD_BYTES = 10;
const ENTRY_BYTES = 46;

export function encodeProducerSnapshot(producers: readonly ProducerEntry[]): Uint8Array {
  const rows = producers.flatMap(({ batches, ...producer }) =>
    (batches.length > 0 ? batches : [{ firstOffset: -1, lastOffset: -1, lastSequence: -1 }]).map(batch => ({
      ...producer,
      ...batch,
    })),
  );
  const bytes = Buffer.alloc(HEAD_BYTES + rows.length * ENTRY_BYTES);
  bytes.writeInt16BE(1, 0);
  bytes.writeInt32BE(rows.length, 6);
  rows.forEach((row, i) => {
    const at = HEAD_BYTES + i * ENTRY_BYTES;
    bytes.writeBigInt64BE(BigInt(row.producerId), at);
    bytes.writeInt16BE(row.epoch, at + 8);
    bytes.writeInt32BE(row.lastSequence, at + 10);
    bytes.writeBigInt64BE(BigInt(row.lastOffset), at + 14);
    bytes.writeInt32BE(row.lastOffset - row.firstOffset, at + 22);
    bytes.writeBigInt64BE(BigInt(row.lastTimestamp), at + 26);
    bytes.writeInt32BE(row.coordinatorEpoch, at + 34);
    bytes.writeBigInt64BE(BigInt(row.openFrom), at + 38);
  });
  bytes.writeUInt32BE(crc32c(bytes.subarray(6)), 2);
  return bytes;
}

/** Kind `data` when the snapshot is damaged: the log then rebuilds the state from older batches. */
export function decodeProducerSnapshot(snapshot: Uint8Array): ProducerEntry[] {
  const bytes = Buffer.from(snapshot.buffer, snapshot.byteOffset, snapshot.length);
  if (bytes.length < HEAD_BYTES || bytes.readInt16BE(0) !== 1) throw corrupt('not a producer snapshot of version 1');
  if (bytes.readUInt32BE(2) !== crc32c(bytes.subarray(6))) throw corrupt('the CRC of the producer snapshot is wrong');
  const count = bytes.readInt32BE(6);
  if (bytes.length < HEAD_BYTES + count * ENTRY_BYTES) throw corrupt('the producer snapshot is cut off');
  const producers = new Map<number, ProducerEntry>();
  for (let i = 0; i < count; i++) {
    const at = HEAD_BYTES + i * ENTRY_BYTES;
    const producerId = Number(bytes.readBigInt64BE(at));
    const entry: ProducerEntry = producers.get(producerId) ?? {
      producerId,
      epoch: bytes.readInt16BE(at + 8),
      batches: [],
      lastTimestamp: Number(bytes.readBigInt64BE(at + 26)),
      coordinatorEpoch: bytes.readInt32BE(at + 34),
      openFrom: Number(bytes.readBigInt64BE(at + 38)),
    };
    producers.set(producerId, entry);
    const lastSequence = bytes.readInt32BE(at + 10);
    if (lastSequence < 0) continue;
    const lastOffset = Number(bytes.readBigInt64BE(at + 14));
    const delta = bytes.readInt32BE(at + 22);
    entry.batches.push({
      firstSequence: subtractSequence(lastSequence, delta),
      lastSequence,
      firstOffset: lastOffset - delta,
      lastOffset,
    });
  }
  return [...producers.values()];
}
