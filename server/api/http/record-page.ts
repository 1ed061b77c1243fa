import type { EngineHost } from '../../../core/engine/host.ts';
import { readRecords } from '../../../core/engine/records.ts';
import { committedBatches } from '../../../core/log/committed-batches.ts';
import { type RecordJson, toJson } from './record-json.ts';

/** How much one read looks at. */
const READ_BYTES = 1024 * 1024;

/** What an answer may still hold. Its last record may go beyond the bytes, so that every page moves on. */
export interface Room {
  records: number;
  bytes: number;
}

export interface Page {
  partition: number;
  records: RecordJson[];
  /** Where the next page begins. */
  next: number;
  highWatermark: number;
}

type Log = NonNullable<ReturnType<EngineHost['partitionLog']>>;

/** Records of a partition from `offset` on as far as there is room, which they take, committed ones only. */
export async function readPage(log: Log, partition: number, offset: number, room: Room): Promise<Page> {
  const records: RecordJson[] = [];
  let next = offset;
  while (next < log.lastStableOffset && room.records > 0 && room.bytes > 0) {
    const chunk = await log.read(next, READ_BYTES, log.lastStableOffset);
    // Deleted meanwhile, and with the records what says which of them were aborted.
    if (log.startOffset > next) {
      next = log.startOffset;
      continue;
    }
    const from = next;
    next = chunk.nextOffset;
    for (const batch of committedBatches(chunk.batches, log.abortedWithin(from, chunk.nextOffset))) {
      for (const record of readRecords(batch)) {
        if (record.offset < from) continue;
        if (room.records <= 0 || room.bytes <= 0) {
          return { partition, records, next: record.offset, highWatermark: log.highWatermark };
        }
        records.push(toJson(record, partition));
        room.records--;
        room.bytes -= (record.key?.length ?? 0) + (record.value?.length ?? 0);
      }
    }
  }
  return { partition, records, next, highWatermark: log.highWatermark };
}
