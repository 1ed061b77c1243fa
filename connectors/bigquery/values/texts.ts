import { exactNumber, isExactNumber } from './exact-number.ts';
import { expected, Unfit } from './unfit.ts';

/** STRING, BYTES, JSON, GEOGRAPHY and INTERVAL. */

/** Numbers and booleans become their JSON text, as when BigQuery itself loads JSON. */
export function toText(value: unknown, maxLength?: number): string {
  const text =
    typeof value === 'string'
      ? value
      : typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint'
        ? String(value)
        : isExactNumber(value)
          ? value.rawJSON
          : null;
  if (text === null) throw expected('STRING', value);
  if (!text.isWellFormed()) throw new Unfit('the text has half a surrogate pair, which UTF-8 cannot hold');
  // Characters are counted, not UTF-16 units; the units are never fewer.
  if (maxLength !== undefined && text.length > maxLength && charactersOf(text) > maxLength) {
    throw new Unfit(`the text has more than the ${maxLength} characters that the column takes`);
  }
  return text;
}

function charactersOf(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) !== 0xdc00) count++;
  return count;
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;
const BASE64_URL = /^[A-Za-z0-9_-]*={0,2}$/;

/** Bytes as they are (Avro), or base64 (JSON) in either alphabet. */
export function toBytes(value: unknown, maxLength?: number): Uint8Array {
  const bytes = value instanceof Uint8Array ? value : typeof value === 'string' ? decoded(value) : null;
  if (bytes === null) throw expected('BYTES (base64)', value);
  if (maxLength !== undefined && bytes.length > maxLength) {
    throw new Unfit(`${bytes.length} bytes are more than the ${maxLength} that the column takes`);
  }
  return bytes;
}

function decoded(text: string): Uint8Array | null {
  if (BASE64.test(text)) return Buffer.from(text, 'base64');
  return BASE64_URL.test(text) && text.replace(/=+$/, '').length % 4 !== 1 ? Buffer.from(text, 'base64url') : null;
}

/** The value's own JSON text. A string is a JSON string, never JSON text in disguise. */
export function toJson(value: unknown): string {
  const text = JSON.stringify(value, plain);
  if (text === undefined) throw expected('JSON', value);
  return text;
}

/** What Avro has and JSON has not. `this` is the holder: a Buffer has been through its own toJSON already. */
function plain(this: unknown, name: string, value: unknown): unknown {
  const own = (this as Record<string, unknown>)[name];
  if (typeof own === 'bigint') return exactNumber(String(own));
  return own instanceof Uint8Array ? Buffer.from(own).toString('base64') : value;
}

/** Well-known text, or GeoJSON as text or as an object; BigQuery looks closer. */
export function toGeography(value: unknown): string {
  if (typeof value === 'string') return toText(value);
  if (typeof value === 'object' && value !== null && 'type' in value && !isExactNumber(value)) return toJson(value);
  throw expected('GEOGRAPHY (WKT or GeoJSON)', value);
}

/** Canonical form, "Y-M D H:M:S[.F]", or ISO 8601, "P1Y2M3DT4H5M6S". */
const INTERVAL = /^(?:[+-]?\d+-\d+ [+-]?\d+ [+-]?\d+:\d+:\d+(?:\.\d{1,6})?|P(?=[\d-T])[-\dYMWDTHS.,]+)$/;

export function toInterval(value: unknown): string {
  if (typeof value !== 'string' || !INTERVAL.test(value.trim())) throw expected('INTERVAL', value);
  return value.trim();
}
