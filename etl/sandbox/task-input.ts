import {
  ATTRIBUTE,
  batchesIn,
  checkBatch,
  corrupt,
  isControl,
  lastOffset,
  recordsSection,
} from '../../core/engine/records.ts';
import type { FrameHelper, Table } from './frame-helper/frame-helper.ts';

/** The least that a record takes: length, attributes, two deltas, key, value, header count. */
const LEAST_RECORD = 7;

/**
 * Checks, decompresses and lists the records of all batches, those below `from` and control batches left out.
 * Kind `data`, code CORRUPT_BATCH when the bytes are not what the log should hold.
 */
export function listRecords(helper: FrameHelper, batches: Uint8Array, from: number): Table {
  const table = helper.newTable(1024);
  let end = 0;
  for (const { at, header } of batchesIn(batches)) {
    checkBatch(batches, at);
    end = at + header.sizeBytes;
    if (isControl(header) || header.recordCount === 0 || lastOffset(header) < from) continue;
    const section = recordsSection(batches.subarray(at, end), header);
    if (header.recordCount * LEAST_RECORD > section.length) throw damaged(header.baseOffset, header.recordCount - 1);
    helper.ensure(table, header.recordCount);
    const found = helper.raw.scan(
      helper.put(section),
      section.length,
      header.recordCount,
      header.baseOffset,
      header.baseTimestamp,
      (header.attributes & ATTRIBUTE.logAppendTime) !== 0 ? header.maxTimestamp : -1,
      from,
      table.at + table.count * 40,
      table.count,
    );
    if (found < 0) throw damaged(header.baseOffset, -1 - found);
    table.count += found;
  }
  if (end !== batches.length) throw corrupt(`${batches.length - end} bytes behind the last whole batch`);
  return table;
}

function damaged(baseOffset: number, index: number): Error {
  return corrupt(`record ${index} of the batch at offset ${baseOffset} is damaged`);
}
