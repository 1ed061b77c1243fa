import { varintSize, writeVarint } from '../../core/base/varint.ts';
import {
  BATCH_HEADER_BYTES,
  type BatchHeader,
  codecOf,
  finishBatch,
  readBatchHeader,
} from '../../core/engine/records.ts';
import type { Letter } from './dead-letters.ts';
import type { Entry, FrameHelper, Table } from './frame-helper/frame-helper.ts';
import type { LetterSummary, TaskOutput } from './sandbox.ts';
import type { Unreadable } from './task-input.ts';

/*
 * What is stored of a produced batch once modules have seen its records. Clients count offsets and brokers count sequences by the
 * records of the batch as it was sent, so what is left keeps its places, with gaps as compaction leaves them: producer id,
 * epoch, base sequence, attributes, base timestamp and last offset delta stay, and a batch without records is kept too.
 */

/** What the modules left of the batch. A record that became several counts as failed. */
export function storedBatch(
  helper: FrameHelper,
  left: Table | null,
  source: Uint8Array,
): { output: TaskOutput; tooMany: Entry[] } {
  const entries = Array.from({ length: left?.count ?? 0 }, (_, i) => helper.entry(left as Table, i));
  const byOrigin = Map.groupBy(entries, ({ origin }) => origin);
  const several = [...byOrigin.values()].filter(own => own.length > 1);
  const stored = several.length === 0 ? entries : entries.filter(({ origin }) => byOrigin.get(origin)?.length === 1);
  const batch = encode(helper, stored, readBatchHeader(source));
  return {
    output: { route: 0, partition: 0, batch, records: stored.length, origins: null },
    tooMany: several.map(([first]) => first as Entry),
  };
}

function encode(helper: FrameHelper, entries: readonly Entry[], header: BatchHeader): Uint8Array {
  const { baseTimestamp } = header;
  const lengthOf = ({ timestamp, offset, length }: Entry): number =>
    1 + varintSize(timestamp - baseTimestamp) + varintSize(offset - header.baseOffset) + length;
  const size = entries.reduce((sum, entry) => sum + varintSize(lengthOf(entry)) + lengthOf(entry), 0);
  // Not from the pool: the buffer is transferred.
  const plain = Buffer.allocUnsafeSlow(BATCH_HEADER_BYTES + size);
  let at = BATCH_HEADER_BYTES;
  let maxTimestamp = Number.NEGATIVE_INFINITY;
  for (const entry of entries) {
    at = writeVarint(plain, at, lengthOf(entry));
    plain[at++] = 0;
    at = writeVarint(plain, at, entry.timestamp - baseTimestamp);
    at = writeVarint(plain, at, entry.offset - header.baseOffset);
    plain.set(helper.bodyOf(entry), at);
    at += entry.length;
    maxTimestamp = Math.max(maxTimestamp, entry.timestamp);
  }
  const isEmpty = entries.length === 0;
  const batch = finishBatch(plain, isEmpty ? 'none' : codecOf(header), {
    ...header,
    maxTimestamp: isEmpty ? header.maxTimestamp : maxTimestamp,
    recordCount: entries.length,
  });
  return batch.byteLength === batch.buffer.byteLength ? batch : Buffer.from(Uint8Array.from(batch).buffer);
}

/** The reasons in short, with the records' places in their batch; `TOO_MANY_RECORDS` names the last step. */
export function refusals(
  steps: readonly { name: string }[],
  { letters, tooMany, unreadable }: { letters: Letter[]; tooMany: Entry[]; unreadable: Unreadable[] },
): LetterSummary[] {
  const last = steps.at(-1)?.name ?? '';
  return [
    ...unreadable.map(({ code, reason }) => ({ step: steps[0]?.name ?? '', offset: 0, code, reason })),
    ...letters.map(({ step, entry, failure }) => ({ step: steps[step]?.name ?? '', offset: entry.offset, ...failure })),
    ...tooMany.map(({ offset }) => {
      const reason = 'before it is stored a record may become one record or none, and this one became more';
      return { step: last, offset, code: 'TOO_MANY_RECORDS', reason };
    }),
  ].toSorted((a, b) => a.offset - b.offset);
}
