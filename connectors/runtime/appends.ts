import type { Append } from '../../core/engine/engine.ts';
import { bodySize, encodeBatch, type NewRecord } from '../../core/engine/records.ts';

/** Batches stay below Kafka's default limit of 1 MiB for a message, with room for its framing. */
const BATCH_BYTES = 900 * 1024;

/** Encodes records as batches of a bounded size, in order, for one partition. */
export function appendsOf(topic: string, partition: number, records: readonly NewRecord[]): Append[] {
  const appends: Append[] = [];
  let open: NewRecord[] = [];
  let size = 0;
  const close = (): void => {
    if (open.length > 0) appends.push({ topic, partition, batch: encodeBatch(open) });
    open = [];
    size = 0;
  };
  for (const record of records) {
    const bytes = bodySize(record) + 20;
    if (size + bytes > BATCH_BYTES) close();
    open.push(record);
    size += bytes;
  }
  close();
  return appends;
}
