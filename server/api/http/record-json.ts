import { MillstreamError } from '../../../core/base/errors.ts';
import type { LogRecord, NewRecord } from '../../../core/engine/records.ts';

/*
 * A record as JSON. Bytes that are UTF-8 travel as `key` and `value` strings, others as `key_base64` and
 * `value_base64`; null is null. In a request `value` may also be any other JSON value: its JSON text is the value.
 */

/** Standard or URL-safe alphabet (RFC 4648), padded or not. */
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;
/** The last moment that a JavaScript Date can hold, in the year 275760. */
const MAX_TIMESTAMP = 8_640_000_000_000_000;

export interface RecordJson {
  partition: number;
  offset: number;
  timestamp: number;
  key: string | null;
  value: string | null;
  headers: Record<string, string | null>;
  key_base64?: string;
  value_base64?: string;
}

export function toJson(record: LogRecord, partition: number): RecordJson {
  const json: RecordJson = {
    partition,
    offset: record.offset,
    timestamp: record.timestamp,
    key: utf8(record.key),
    value: utf8(record.value),
    headers: Object.fromEntries(record.headers.map(([name, value]) => [name, value && Buffer.from(value).toString()])),
  };
  if (record.key && json.key === null) json.key_base64 = Buffer.from(record.key).toString('base64');
  if (record.value && json.value === null) json.value_base64 = Buffer.from(record.value).toString('base64');
  return json;
}

/** Reads one record of a request. Kind `invalid` with the field that is wrong. */
export function fromJson(input: unknown, now: number): NewRecord & { partition: number | null } {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) throw wrong('a record is a JSON object');
  const fields = input as Record<string, unknown>;
  const known = new Set(['key', 'key_base64', 'value', 'value_base64', 'headers', 'timestamp', 'partition']);
  for (const name of Object.keys(fields)) if (!known.has(name)) throw wrong(`unknown field \`${name}\` in a record`);
  return {
    key: bytesOf(fields, 'key'),
    value: bytesOf(fields, 'value'),
    headers: headersOf(fields['headers']),
    timestamp: numberOf(fields['timestamp'], 'timestamp', MAX_TIMESTAMP) ?? now,
    partition: numberOf(fields['partition'], 'partition', 2 ** 31 - 1),
  };
}

/** The text, or null when the bytes are null or no UTF-8. */
export function utf8(bytes: Uint8Array | null): string | null {
  if (bytes === null) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

function bytesOf(fields: Record<string, unknown>, name: 'key' | 'value'): Uint8Array | null {
  const encoded = fields[`${name}_base64`];
  if (encoded !== undefined) {
    if (typeof encoded !== 'string' || !BASE64.test(encoded)) throw wrong(`\`${name}_base64\` is a text in base64`);
    if (fields[name] !== undefined && fields[name] !== null) {
      throw wrong(`a record has \`${name}\` or \`${name}_base64\`, not both`);
    }
    return Buffer.from(encoded, 'base64');
  }
  const value = fields[name];
  if (value === undefined || value === null) return null;
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
}

function headersOf(value: unknown): [string, Uint8Array | null][] {
  if (value === undefined || value === null) return [];
  if (typeof value !== 'object' || Array.isArray(value)) throw wrong('`headers` is an object of strings');
  return Object.entries(value).map(([name, text]) => {
    if (text !== null && typeof text !== 'string') throw wrong(`header \`${name}\` is a string or null`);
    return [name, text === null ? null : Buffer.from(text)];
  });
}

function numberOf(value: unknown, name: string, most: number): number | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= most) return value;
  throw wrong(`\`${name}\` is a whole number from 0 to ${most}`);
}

function wrong(message: string): MillstreamError {
  return new MillstreamError('invalid', 'INVALID_RECORD', message);
}
