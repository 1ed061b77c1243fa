/** A row of tabledata.insertAll: JSON values to columns, as leniently and as strictly as the streaming API takes them. */
import { ValueError } from './api-error.ts';
import { inRange } from './civil.ts';
import { defaultOf } from './defaults.ts';
import { fromDouble, keeps } from './numeric.ts';
import type { Column, Value } from './schema.ts';
import { fromText } from './text-values.ts';

export interface JsonRow {
  readonly [name: string]: unknown;
}

const LABEL: Partial<Record<Column['type'], string>> = {
  TIMESTAMP: 'timestamp',
  DATE: 'date',
  TIME: 'time',
  DATETIME: 'datetime',
  GEOGRAPHY: 'geography',
  JSON: 'JSON',
};
const show = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/**
 * The values of one row, in the order of the columns.
 * @param now for defaults such as CURRENT_TIMESTAMP()
 * @throws ValueError for the first thing wrong
 */
export function readRow(
  columns: readonly Column[],
  row: JsonRow,
  options: { ignoreUnknown: boolean; now: number },
  path = '',
): Value[] {
  const out = new Array<Value>(columns.length);
  let known = 0;
  for (let i = 0; i < columns.length; i++) {
    const column = columns[i] as Column;
    let value = row[column.name];
    if (value === undefined && !(column.name in row)) value = caseless(row, column);
    else known++;
    if (value === undefined) out[i] = missing(column, path, options.now);
    else out[i] = readValue(column, value, options, path + column.name);
  }
  const names = Object.keys(row);
  if (names.length > known && !options.ignoreUnknown) {
    const unknown = names.find(name => !columns.some(column => column.key === name.toLowerCase()));
    if (unknown !== undefined) throw new ValueError(path + unknown, `no such field: ${path}${unknown}.`);
  }
  return out;
}

function caseless(row: JsonRow, column: Column): unknown {
  for (const name in row) if (name.length === column.name.length && name.toLowerCase() === column.key) return row[name];
  return undefined;
}

function missing(column: Column, path: string, now: number): Value {
  if (column.defaultValue !== null) return defaultOf(column, now);
  if (column.mode === 'REPEATED') return [];
  if (column.mode === 'REQUIRED')
    throw new ValueError(path + column.name, `Missing required field: ${path}${column.name}.`);
  return null;
}

function readValue(
  column: Column,
  value: unknown,
  options: { ignoreUnknown: boolean; now: number },
  path: string,
): Value {
  if (value === null) {
    if (column.mode === 'NULLABLE') return null;
    throw new ValueError(path, `Only optional fields can be set to NULL. Field: ${path}; Value: NULL`);
  }
  if (column.mode !== 'REPEATED') {
    if (Array.isArray(value)) throw new ValueError(path, `Array specified for non-repeated field: ${path}.`);
    return readOne(column, value, options, path);
  }
  if (!Array.isArray(value))
    throw new ValueError(path, `Repeated field must be imported as a JSON array. Field: ${path}.`);
  return value.map((item: unknown) => {
    if (item === null)
      throw new ValueError(path, `Only optional fields can be set to NULL. Field: ${path}; Value: NULL`);
    return readOne(column, item, options, path);
  });
}

function readOne(
  column: Column,
  value: unknown,
  options: { ignoreUnknown: boolean; now: number },
  path: string,
): Value {
  const bad = (what: string): never => {
    throw new ValueError(path, `Cannot convert value to ${what} (bad value): ${show(value)}`);
  };
  if (column.type === 'STRUCT') {
    if (typeof value !== 'object' || value === null) throw new ValueError(path, `This field: ${path} is not a record.`);
    return { struct: readRow(column.fields, value as JsonRow, options, `${path}.`) };
  }
  if (
    typeof value !== 'string' &&
    typeof value !== 'number' &&
    typeof value !== 'boolean' &&
    typeof value !== 'bigint'
  ) {
    throw new ValueError(path, `This field: ${path} is not a record.`);
  }
  switch (column.type) {
    case 'STRING': {
      const text = String(value);
      if (column.maxLength !== null && text.length > column.maxLength) tooLong(column, path, text.length);
      return text;
    }
    case 'BYTES': {
      if (
        typeof value !== 'string' ||
        !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value) ||
        value.replace(/=+$/, '').length % 4 === 1
      ) {
        throw new ValueError(path, 'Could not decode base64 string to bytes.');
      }
      const bytes = Buffer.from(value, 'base64');
      if (column.maxLength !== null && bytes.length > column.maxLength) tooLong(column, path, bytes.length);
      return bytes;
    }
    case 'INT64':
      return readInteger(value) ?? bad('integer');
    case 'DOUBLE':
      return readDouble(value) ?? bad('floating point');
    case 'BOOL':
      return readBool(value) ?? bad('boolean');
    case 'NUMERIC':
    case 'BIGNUMERIC': {
      const big = column.type === 'BIGNUMERIC';
      let scaled: Value = null;
      if (typeof value === 'string') scaled = fromText(column, value);
      else if (typeof value === 'bigint') scaled = fromText(column, String(value));
      else if (typeof value === 'number') scaled = fromDouble(value, big);
      if (typeof scaled === 'bigint' && keeps(scaled, column.precision, column.scale, big)) return scaled;
      throw new ValueError(path, `Invalid ${column.type} value: ${show(value)}`);
    }
    case 'TIMESTAMP':
      // A number is seconds since the epoch; the client libraries send it as text, too.
      if (typeof value === 'number' || (typeof value === 'string' && /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value))) {
        return secondsToMicros(String(value)) ?? bad('timestamp');
      }
      return (typeof value === 'string' ? fromText(column, value) : null) ?? bad('timestamp');
    case 'DATE':
    case 'TIME':
    case 'DATETIME':
    case 'GEOGRAPHY':
    case 'JSON':
      return (typeof value === 'string' ? fromText(column, value) : null) ?? bad(LABEL[column.type] ?? column.type);
  }
}

function tooLong(column: Column, path: string, length: number): never {
  throw new ValueError(
    path,
    `Field ${path}: ${column.type}(${column.maxLength}) has maximum length ${column.maxLength} but got a value with length ${length}`,
  );
}

function readInteger(value: unknown): bigint | null {
  if (typeof value === 'bigint') return BigInt.asIntN(64, value) === value ? value : null;
  // A number that JSON.parse may have rounded arrives as a bigint (rest/json.ts).
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : null;
  if (typeof value !== 'string' || !/^\s*[+-]?\d{1,19}\s*$/.test(value)) return null;
  const integer = BigInt(value.trim().replace(/^\+/, ''));
  return BigInt.asIntN(64, integer) === integer ? integer : null;
}

function readDouble(value: unknown): number | null {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (typeof value !== 'string') return null;
  if (/^[+-]?(inf|infinity)$/i.test(value)) return value.startsWith('-') ? -Infinity : Infinity;
  if (/^nan$/i.test(value)) return Number.NaN;
  return value.trim() === '' || !Number.isFinite(Number(value)) ? null : Number(value);
}

function readBool(value: unknown): boolean | null {
  if (typeof value === 'boolean') return value;
  if (value === 1 || value === 0) return value === 1;
  const text = typeof value === 'string' ? value.toLowerCase() : '';
  if (['true', 't', 'yes', 'y', '1'].includes(text)) return true;
  return ['false', 'f', 'no', 'n', '0'].includes(text) ? false : null;
}

function secondsToMicros(text: string): bigint | null {
  const plain = /^(-?)(\d+)(?:\.(\d*))?$/.exec(text);
  if (!plain) return inRange(BigInt(Math.round(Number(text) * 1e6)));
  const micros = BigInt(plain[2] ?? '0') * 1_000_000n + BigInt((plain[3] ?? '').slice(0, 6).padEnd(6, '0'));
  return inRange(plain[1] === '-' ? -micros : micros);
}
