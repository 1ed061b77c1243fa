import { varintSize, writeVarint } from '../../../core/base/varint.ts';
import { BATCH_HEADER_BYTES, sealBatch } from '../../../core/engine/records.ts';

/** Records of one batch take about this much: below Kafka's default limit of 1 MiB. */
const MOST_BATCH_BYTES = 512 * 1024;

/** One record: bytes as latin1 text. */
export interface ChangelogEntry {
  /** Key = prefix + name. */
  prefix: string;
  name: string;
  /** undefined: a tombstone. */
  value: string | undefined;
}

/** Finished batches of these records, all of one time (milliseconds since the epoch), each in a buffer of its own. */
export function changelogBatches(entries: readonly ChangelogEntry[], timestamp: number): Uint8Array[] {
  const batches: Uint8Array[] = [];
  for (let from = 0; from < entries.length; ) {
    let size = BATCH_HEADER_BYTES;
    let to = from;
    for (; to < entries.length && (to === from || size < MOST_BATCH_BYTES); to++) {
      const length = lengthOf(entries[to] as ChangelogEntry, to - from);
      size += varintSize(length) + length;
    }
    batches.push(batchOf(entries, from, to, size, timestamp));
    from = to;
  }
  return batches;
}

/** Of a record behind its own length: attributes, timestamp delta (0), offset delta, key, value, header count (0). */
function lengthOf({ prefix, name, value }: ChangelogEntry, delta: number): number {
  const key = prefix.length + name.length;
  const valueSize = value === undefined ? 1 : varintSize(value.length) + value.length;
  return 3 + varintSize(delta) + varintSize(key) + key + valueSize;
}

function batchOf(
  entries: readonly ChangelogEntry[],
  from: number,
  to: number,
  size: number,
  timestamp: number,
): Uint8Array {
  const batch = Buffer.allocUnsafeSlow(size);
  let at = BATCH_HEADER_BYTES;
  for (let i = from; i < to; i++) {
    const entry = entries[i] as ChangelogEntry;
    const { prefix, name, value } = entry;
    at = writeVarint(batch, at, lengthOf(entry, i - from));
    batch[at++] = 0;
    batch[at++] = 0;
    at = writeVarint(batch, at, i - from);
    at = writeVarint(batch, at, prefix.length + name.length);
    at += batch.write(prefix, at, 'latin1');
    at += batch.write(name, at, 'latin1');
    at = writeVarint(batch, at, value === undefined ? -1 : value.length);
    if (value !== undefined) at += batch.write(value, at, 'latin1');
    batch[at++] = 0;
  }
  sealBatch(batch, {
    baseOffset: 0,
    leaderEpoch: -1,
    attributes: 0,
    lastOffsetDelta: to - from - 1,
    baseTimestamp: timestamp,
    maxTimestamp: timestamp,
    producerId: -1,
    producerEpoch: -1,
    baseSequence: -1,
    recordCount: to - from,
  });
  return batch;
}
