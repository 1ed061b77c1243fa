import { MillstreamError } from '../../../core/base/errors.ts';
import type { NewRecord } from '../../../core/engine/records.ts';
import { fromJson, utf8 } from './record-json.ts';

/** A record and the partition that the caller chose, null: any. */
export type Placed = NewRecord & { partition: number | null };

const NEWLINE = 10;

/**
 * The records in a body: `application/json` is `{"records": [...]}`, `application/x-ndjson` one record a line, and any
 * other type the bytes of one record, with `key`. Kind `invalid`, code INVALID_RECORD.
 */
export function recordsIn(bytes: Buffer, type: string, key: string | undefined, now: number): Placed[] {
  if (bytes.length === 0) {
    throw invalid('the body is empty; an empty value is { "records": [ { "value": "" } ] } as application/json');
  }
  if (type === 'application/json') return jsonRecords(bytes, now);
  if (type === 'application/x-ndjson') {
    const lines = linesOf(bytes).filter(line => line.toString().trim() !== '');
    if (lines.length === 0) throw invalid('the body has no line');
    return lines.map(line => ({ timestamp: now, key: null, value: line, partition: null }));
  }
  return [{ timestamp: now, key: key === undefined ? null : Buffer.from(key), value: bytes, partition: null }];
}

function jsonRecords(bytes: Buffer, now: number): Placed[] {
  const text = utf8(bytes);
  if (text === null) throw invalid('the body is not UTF-8');
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new MillstreamError('invalid', 'INVALID_JSON', `the body is no JSON: ${(error as Error).message}`);
  }
  const list = (body as { records?: unknown } | null)?.records;
  if (!Array.isArray(list) || list.length === 0) throw invalid('the body is { "records": [ { "value": ... }, ... ] }');
  return list.map(record => fromJson(record, now));
}

function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let from = 0; from < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, from);
    const end = newline === -1 ? bytes.length : newline;
    lines.push(bytes.subarray(from, end));
    from = end + 1;
  }
  return lines;
}

const invalid = (message: string): MillstreamError => new MillstreamError('invalid', 'INVALID_RECORD', message);
