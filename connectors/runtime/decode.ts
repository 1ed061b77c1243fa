import {
  lastOffset,
  type LogRecord,
  readBatchHeader,
  readBody,
  recordSpans,
  recordsSection,
} from '../../core/engine/records.ts';
import type { Batcher } from './batcher.ts';
import type { Row } from './contract.ts';
import type { Opened } from './replays.ts';

/** What a decoded record costs in memory beside its bytes. */
const RECORD_OVERHEAD_BYTES = 300;

/**
 * Decodes one batch into the batcher, from offset `from` on; keys and values are views into its (decompressed) bytes.
 * A batch that cannot be read is refused as one record with the batch's bytes, so that it blocks nobody.
 */
export function decodeInto(
  batcher: Batcher,
  bytes: Uint8Array,
  from: bigint,
  { topic, partition }: { topic: string; partition: number },
  accepts: (record: LogRecord) => boolean,
  open?: (record: LogRecord) => Opened,
): { records: number; heldBytes: number } {
  const header = readBatchHeader(bytes);
  const first = Number(from);
  let records = 0;
  let heldBytes = 0;
  let at = Math.max(first, header.baseOffset);
  try {
    const section = recordsSection(bytes, header);
    for (const span of recordSpans(section, header)) {
      const offset = header.baseOffset + span.offsetDelta;
      if (offset < first) continue;
      const { key, value, headers } = readBody(section, span.bodyFrom, span.bodyTo);
      const record: LogRecord = { offset, timestamp: span.timestamp, key, value, headers };
      const row: Row = open ? { topic, partition, ...open(record) } : { topic, partition, record };
      const held = span.bodyTo - span.bodyFrom + RECORD_OVERHEAD_BYTES;
      if (accepts(row.record)) batcher.add(row, held);
      else batcher.addFiltered(offset, held);
      heldBytes += held;
      records++;
      at = offset + 1;
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const record = { offset: at, timestamp: header.baseTimestamp, key: null, value: bytes, headers: [] };
    batcher.addUnreadable({ record, code: 'CORRUPT_BATCH', reason }, BigInt(lastOffset(header) + 1));
    records++;
  }
  return { records, heldBytes };
}
