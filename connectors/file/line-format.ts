import { isUtf8 } from 'node:buffer';
import { DEAD_LETTER_PREFIX, type DeadLetter, deadLetterId, fromDeadRecord } from '../../core/engine/dead-letter.ts';
import type { Header, LogRecord } from '../../core/engine/records.ts';
import { isJsonText } from './json-text.ts';
import type { LineBuffer } from './line-buffer.ts';

/*
 * What a line of the file sink looks like, without its newline:
 *   value      the record's value when it is JSON text (newlines between tokens become spaces, at its end they are left out),
 *              else {"value_base64":"…"}; a null value is {"value_base64":null}
 *   envelope   {"topic","partition","offset","timestamp","key","headers","value"}; `value` is the JSON as it is, in its
 *              place "value_base64" when it is none; the same for "key", which is text; headers are [name, text] pairs,
 *              a header that is not text is [name, {"base64":"…"}]
 *   dead letter  see deadLetterLine
 */

export type LineFormat = 'value' | 'envelope';

export function addLine(
  out: LineBuffer,
  topic: string,
  partition: number,
  record: LogRecord,
  format: LineFormat,
): void {
  const { offset, timestamp, key, value, headers } = record;
  const letter = headers.length === 0 ? null : fromDeadRecord(record);
  const json = jsonLine(value);
  if (letter) out.addText(deadLetterLine(record, letter));
  else if (format === 'value') {
    if (json) out.addBytes(json);
    else out.addText(`{"value_base64":${base64(value)}}`);
  } else {
    const keyText = key === null || isUtf8(key) ? `"key":${text(key)}` : `"key_base64":${base64(key)}`;
    out.addText(
      `{"topic":${JSON.stringify(topic)},"partition":${partition},"offset":${offset},"timestamp":${timestamp},` +
        `${keyText},"headers":${headersText(headers)},`,
    );
    if (json) out.addText('"value":').addBytes(json).addText('}');
    else out.addText(`"value_base64":${base64(value)}}`);
  }
  out.endLine();
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

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;

/** The value's bytes as one line of JSON; null when they are no JSON. */
function jsonLine(value: Uint8Array | null): Uint8Array | null {
  if (value === null || !isJsonText(value) || !isUtf8(value)) return null;
  if (!value.includes(NEWLINE) && !value.includes(RETURN)) return value;
  let end = value.length;
  while (value[end - 1] === NEWLINE || value[end - 1] === RETURN) end--;
  // Inside a JSON string a newline is escaped, so these stand between tokens.
  return value.slice(0, end).map(byte => (byte === NEWLINE || byte === RETURN ? SPACE : byte));
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
