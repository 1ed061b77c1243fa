import { writeVarint } from '../../core/base/varint.ts';
import {
  ATTRIBUTE,
  type BatchHeader,
  batchesIn,
  bodySize,
  checkBatch,
  corrupt,
  isControl,
  lastOffset,
  recordsSection,
  writeBody,
} from '../../core/engine/records.ts';
import type { Failure } from '../abi/guest.ts';
import { ENTRY_BYTES, type FrameHelper, type Table } from './frame-helper/frame-helper.ts';

/** The least that a record takes: length, attributes, two deltas, key, value, header count. */
const LEAST_RECORD = 7;
/** Behind its length: attributes and two deltas, all zero. */
const RECORD_HEAD = 3;

/** What stands for a batch that cannot be read: its place in the table. */
export interface Unreadable extends Failure {
  index: number;
}

/**
 * Checks, decompresses and lists the records of all batches, those below `from` and control batches left out. A batch
 * whose contents cannot be read, as its producer made them, stands there as one record with the batch's bytes as its value.
 * Kind `data`, code CORRUPT_BATCH when the bytes are not what the log should hold.
 */
export function listRecords(
  helper: FrameHelper,
  batches: Uint8Array,
  from: number,
): { table: Table; unreadable: Unreadable[] } {
  const table = helper.newTable(1024);
  const unreadable: Unreadable[] = [];
  let end = 0;
  for (const { at, header } of batchesIn(batches)) {
    checkBatch(batches, at);
    end = at + header.sizeBytes;
    if (isControl(header) || header.recordCount === 0 || lastOffset(header) < from) continue;
    const batch = batches.subarray(at, end);
    const refused = list(helper, table, batch, header, from);
    if (refused === null) continue;
    unreadable.push({ index: table.count, code: 'CORRUPT_BATCH', reason: refused });
    listWhole(helper, table, batch, header, from);
  }
  if (end !== batches.length) throw corrupt(`${batches.length - end} bytes behind the last whole batch`);
  return { table, unreadable };
}

/** Returns why the batch cannot be read; then nothing was added. */
function list(helper: FrameHelper, table: Table, batch: Uint8Array, header: BatchHeader, from: number): string | null {
  const { recordCount, baseOffset } = header;
  let section: Uint8Array;
  try {
    section = recordsSection(batch, header);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if (recordCount * LEAST_RECORD > section.length) return damaged(baseOffset, recordCount - 1);
  helper.ensure(table, recordCount);
  const isAppendTime = (header.attributes & ATTRIBUTE.logAppendTime) !== 0;
  const found = scan(helper, table, section, {
    count: recordCount,
    offset: baseOffset,
    timestamp: header.baseTimestamp,
    appendTime: isAppendTime ? header.maxTimestamp : -1,
    from,
  });
  if (found < 0) return damaged(baseOffset, -1 - found);
  table.count += found;
  return null;
}

/** The batch's bytes as the value of one record. */
function listWhole(helper: FrameHelper, table: Table, batch: Uint8Array, header: BatchHeader, from: number): void {
  const record = { key: null, value: batch };
  const size = RECORD_HEAD + bodySize(record);
  const section = new Uint8Array(size + 10);
  const head = writeVarint(section, 0, size);
  const end = writeBody(section, head + RECORD_HEAD, record);
  helper.ensure(table, 1);
  const offset = Math.max(from, header.baseOffset);
  const timestamp = header.baseTimestamp;
  table.count += scan(helper, table, section.subarray(0, end), { count: 1, offset, timestamp, appendTime: -1, from });
}

function scan(
  helper: FrameHelper,
  table: Table,
  section: Uint8Array,
  of: { count: number; offset: number; timestamp: number; appendTime: number; from: number },
): number {
  const at = helper.put(section);
  const to = table.at + table.count * ENTRY_BYTES;
  const { count, offset, timestamp, appendTime, from } = of;
  return helper.raw.scan(at, section.length, count, offset, timestamp, appendTime, from, to, table.count);
}

function damaged(baseOffset: number, index: number): string {
  return `record ${index} of the batch at offset ${baseOffset} is damaged`;
}
