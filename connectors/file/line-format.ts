import { isUtf8 } from 'node:buffer';
import { DEAD_LETTER_PREFIX, type DeadLetter, deadLetterId, fromDeadRecord } from '../../core/engine/dead-letter.ts';
import type { Header, LogRecord } from '../../core/engine/records.ts';

/*
 * What a line of the file sink looks like, without its newline:
 *   value      the record's value when it is JSON text (newlines between tokens become spaces),
 *              else {"value_base64":"…"}; a null value is {"value_base64":null}
 *   envelope   {"topic","partition","offset","timestamp","key","headers","value"}; `value` is the JSON as it is, in its
 *              place "value_base64" when it is none; the same for "key", which is text; headers are [name, text] pairs,
 *              a header that is not text is [name, {"base64":"…"}]
 *   dead letter  see deadLetterLine
 */

export type LineFormat = 'value' | 'envelope';

export function lineOf(topic: string, partition: number, record: LogRecord, format: LineFormat): string {
  const letter = record.headers.length === 0 ? null : fromDeadRecord(record);
  if (letter) return deadLetterLine(record, letter);
  const json = jsonText(record.value);
  if (format === 'value') return json ?? `{"value_base64":${base64(record.value)}}`;
  const { offset, timestamp, key, headers } = record;
  const keyText = key === null || isUtf8(key) ? `"key":${text(key)}` : `"key_base64":${base64(key)}`;
  const value = json === null ? `"value_base64":${base64(record.value)}` : `"value":${json}`;
  return (
    `{"topic":${JSON.stringify(topic)},"partition":${partition},"offset":${offset},"timestamp":${timestamp},` +
    `${keyText},"headers":${headersText(headers)},${value}}`
  );
}

/**
 * A dead letter with all that is known of it: why and where, then the source record. `key` and `value` are readable
 * text (null when they are none), `key_b64` and `value_b64` the exact bytes (null when the record had none).
 */
function deadLetterLine(record: LogRecord, letter: DeadLetter): string {
  const { key, value, timestamp } = record;
  const readable = (bytes: Uint8Array | null): string | null =>
    bytes !== null && isUtf8(bytes) ? asBuffer(bytes).toString() : null;
  return JSON.stringify({
    id: deadLetterId(letter),
    at: isoTime(letter.at),
    pipeline: letter.pipeline,
    stage: letter.stage,
    step: letter.name,
    code: letter.code,
    reason: letter.reason,
    sha256: letter.sha256,
    source: { topic: letter.topic, topic_id: letter.topicId, partition: letter.partition, offset: letter.offset },
    replays: letter.replays,
    timestamp,
    key: readable(key),
    key_b64: key && asBuffer(key).toString('base64'),
    value: readable(value),
    value_b64: value && asBuffer(value).toString('base64'),
    headers: record.headers
      .filter(([name]) => !name.startsWith(DEAD_LETTER_PREFIX))
      .map(([name, bytes]) => [name, bytes && (readable(bytes) ?? { base64: asBuffer(bytes).toString('base64') })]),
    input_b64: letter.input && asBuffer(letter.input).toString('base64'),
  });
}

/** The value as one line of JSON; null when it is none. */
function jsonText(value: Uint8Array | null): string | null {
  if (value === null || value.length === 0 || !isUtf8(value)) return null;
  const json = asBuffer(value).toString();
  try {
    JSON.parse(json);
  } catch {
    return null;
  }
  // Inside a JSON string a newline is escaped, so these stand between tokens.
  return json.includes('\n') || json.includes('\r') ? json.replaceAll(/[\r\n]+/g, ' ').trim() : json;
}

const isoTime = (at: number): string | number => (Math.abs(at) <= 8.64e15 ? new Date(at).toISOString() : at);
const text = (bytes: Uint8Array | null): string =>
  bytes === null ? 'null' : JSON.stringify(asBuffer(bytes).toString());
const base64 = (bytes: Uint8Array | null): string =>
  bytes === null ? 'null' : `"${asBuffer(bytes).toString('base64')}"`;

function headersText(headers: readonly Header[]): string {
  const parts = headers.map(([name, value]) => {
    const shown = value === null || isUtf8(value) ? text(value) : `{"base64":${base64(value)}}`;
    return `[${JSON.stringify(name)},${shown}]`;
  });
  return `[${parts.join(',')}]`;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
