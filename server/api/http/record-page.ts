import type { EngineHost } from '../../../core/engine/host.ts';
import { isControl, readBatchHeader, readRecords } from '../../../core/engine/records.ts';
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

/** Records of a partition from `offset` on as far as there is room, which they take, without those of the broker. */
export async function readPage(log: Log, partition: number, offset: number, room: Room): Promise<Page> {
  const records: RecordJson[] = [];
  let next = offset;
  while (next < log.highWatermark && room.records > 0 && room.bytes > 0) {
    const chunk = await log.read(next, READ_BYTES);
    const from = next;
    next = chunk.nextOffset;
    for (const batch of chunk.batches) {
      if (isControl(readBatchHeader(batch))) continue;
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
