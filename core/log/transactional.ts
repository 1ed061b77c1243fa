import { crc32c } from '../base/crc32c.ts';
import { ATTRIBUTE, type BatchHeader, checkBatch } from './batch.ts';
import { addSequence } from './sequence.ts';

/** Makes finished batches, one behind the other, part of a transaction: attribute, producer, sequences, CRC. In place.
 * Kind `data`, CORRUPT_BATCH when they are not whole. */
export function stampTransactional(
  bytes: Uint8Array,
  { producerId, producerEpoch }: Pick<BatchHeader, 'producerId' | 'producerEpoch'>,
  firstSequence: number,
): BatchHeader[] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const headers: BatchHeader[] = [];
  let sequence = firstSequence;
  for (let at = 0; at < bytes.length; ) {
    const header = checkBatch(bytes, at);
    header.attributes |= ATTRIBUTE.transactional;
    Object.assign(header, { producerId, producerEpoch, baseSequence: sequence });
    view.writeInt16BE(header.attributes, at + 21);
    view.writeBigInt64BE(BigInt(producerId), at + 43);
    view.writeInt16BE(producerEpoch, at + 51);
    view.writeInt32BE(sequence, at + 53);
    view.writeUInt32BE(crc32c(view.subarray(at + 21, at + header.sizeBytes)), at + 17);
    sequence = addSequence(sequence, header.lastOffsetDelta + 1);
    headers.push(header);
    at += header.sizeBytes;
  }
  return headers;
}
