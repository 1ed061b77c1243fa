import type { Append } from '../../core/engine/engine.ts';
import { bodySize, encodeBatch, type NewRecord } from '../../core/engine/records.ts';

/** Batches stay below Kafka's default limit of 1 MiB for a message, with room for its framing. */
export const MOST_BATCH_BYTES = 900 * 1024;
/** A batch is closed at this size. One that is larger, for a single record, is compressed: limits count compressed bytes, and
 * what came in compressed must get out again. */
const COMPRESS_FROM_BYTES = 512 * 1024;

/** Encodes records as batches of a bounded size, in order, for one partition. */
export function appendsOf(
  topic: string,
  partition: number,
  records: readonly NewRecord[],
  mostBytes = MOST_BATCH_BYTES,
): Append[] {
  const appends: Append[] = [];
  let open: NewRecord[] = [];
  let size = 0;
  const close = (): void => {
    if (open.length === 0) return;
    const codec = size > COMPRESS_FROM_BYTES ? 'zstd' : 'none';
    appends.push({ topic, partition, batch: encodeBatch(open, { codec }) });
    open = [];
    size = 0;
  };
  for (const record of records) {
    const bytes = bodySize(record) + 20;
    if (size + bytes > Math.min(mostBytes, COMPRESS_FROM_BYTES)) close();
    open.push(record);
    size += bytes;
  }
  close();
  return appends;
}
