/** Columns and values between the fake and DuckDB. BIGNUMERIC does not fit DuckDB's decimals: there it is text. */
import * as duck from '@duckdb/node-api';
import { formatDecimal } from '../model/numeric.ts';
import type { Column, RestField, StructValue, Value } from '../model/schema.ts';

export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;

export function duckType(column: Column): duck.DuckDBType {
  const item = itemType(column);
  return column.mode === 'REPEATED' ? duck.LIST(item) : item;
}

function itemType(column: Column): duck.DuckDBType {
  switch (column.type) {
    case 'STRING':
    case 'GEOGRAPHY':
    case 'JSON':
    case 'BIGNUMERIC':
      return duck.VARCHAR;
    case 'BYTES':
      return duck.BLOB;
    case 'INT64':
      return duck.BIGINT;
    case 'DOUBLE':
      return duck.DOUBLE;
    case 'BOOL':
      return duck.BOOLEAN;
    case 'TIMESTAMP':
      return duck.TIMESTAMPTZ;
    case 'DATE':
      return duck.DATE;
    case 'TIME':
      return duck.TIME;
    case 'DATETIME':
      return duck.TIMESTAMP;
    case 'NUMERIC':
      return duck.DECIMAL(38, 9);
    case 'STRUCT':
      return duck.STRUCT(Object.fromEntries(column.fields.map(field => [field.name, duckType(field)])));
  }
}

/** @param from the column as it was when the value was written; it may have fewer nested columns than `to` */
export function toDuck(value: Value, from: Column, to: Column): duck.DuckDBValue {
  if (value === null) return null;
  if (to.mode !== 'REPEATED') return itemToDuck(value, from, to);
  return duck.listValue((value as readonly Value[]).map(item => itemToDuck(item, from, to)));
}

function itemToDuck(value: Value, from: Column, to: Column): duck.DuckDBValue {
  switch (to.type) {
    case 'BYTES':
      return duck.blobValue(value as Buffer);
    case 'TIMESTAMP':
      return new duck.DuckDBTimestampTZValue(value as bigint);
    case 'DATE':
      return new duck.DuckDBDateValue(value as number);
    case 'TIME':
      return new duck.DuckDBTimeValue(value as bigint);
    case 'DATETIME':
      return new duck.DuckDBTimestampValue(value as bigint);
    case 'NUMERIC':
      return new duck.DuckDBDecimalValue(value as bigint, 38, 9);
    case 'BIGNUMERIC':
      return formatDecimal(value as bigint, true);
    case 'STRUCT': {
      const { struct } = value as StructValue;
      const entries: Record<string, duck.DuckDBValue> = {};
      for (const field of to.fields) {
        const at = from.fields.findIndex(each => each.key === field.key);
        const old = from.fields[at];
        if (old) entries[field.name] = toDuck(struct[at] ?? null, old, field);
        else entries[field.name] = field.mode === 'REPEATED' ? duck.listValue([]) : null;
      }
      return duck.structValue(entries);
    }
    case 'STRING':
    case 'GEOGRAPHY':
    case 'JSON':
    case 'INT64':
    case 'DOUBLE':
    case 'BOOL':
      return value as string | bigint | number | boolean;
  }
}

/** TableFieldSchema of a result's column. */
export function resultField(name: string, type: duck.DuckDBType): RestField {
  if (type instanceof duck.DuckDBListType) return { ...resultField(name, type.valueType), mode: 'REPEATED' };
  if (type instanceof duck.DuckDBStructType) {
    const fields = type.entryNames.map((entry, i) => resultField(entry, type.entryTypes[i] ?? duck.VARCHAR));
    return { name, type: 'RECORD', mode: 'NULLABLE', fields };
  }
  return { name, type: scalarName(type), mode: 'NULLABLE' };
}

function scalarName(type: duck.DuckDBType): string {
  if (type instanceof duck.DuckDBDecimalType) return 'NUMERIC';
  const text = type.toString();
  if (/^U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$/.test(text)) return 'INTEGER';
  const names: Record<string, string> = {
    DOUBLE: 'FLOAT',
    FLOAT: 'FLOAT',
    BOOLEAN: 'BOOLEAN',
    BLOB: 'BYTES',
    DATE: 'DATE',
    TIME: 'TIME',
    TIMESTAMP: 'DATETIME',
    'TIMESTAMP WITH TIME ZONE': 'TIMESTAMP',
  };
  return names[text] ?? 'STRING';
}

export type TimestampFormat = 'float' | 'int64' | 'iso';

/** A cell of tabledata.list and jobs.getQueryResults: everything is text, lists are `{v}`, records `{f: [{v}]}`. */
export function cell(value: duck.DuckDBValue, format: TimestampFormat): unknown {
  if (value === null || typeof value === 'string') return value;
  if (value instanceof duck.DuckDBListValue) return value.items.map(item => ({ v: cell(item, format) }));
  if (value instanceof duck.DuckDBStructValue) {
    return { f: Object.values(value.entries).map(entry => ({ v: cell(entry, format) })) };
  }
  if (value instanceof duck.DuckDBTimestampTZValue && format !== 'iso') {
    return format === 'int64' ? String(value.micros) : microsToSeconds(value.micros);
  }
  if (value instanceof duck.DuckDBBlobValue) return Buffer.from(value.bytes).toString('base64');
  return String(plain(value));
}

const microsToSeconds = (micros: bigint): string => {
  const absolute = micros < 0n ? -micros : micros;
  return `${micros < 0n ? '-' : ''}${absolute / 1_000_000n}.${(absolute % 1_000_000n).toString().padStart(6, '0')}`;
};

/** For tests: integers as bigint, decimals and all dates and times as text (TIMESTAMP with a final Z), bytes as Buffer. */
export function plain(value: duck.DuckDBValue): unknown {
  if (value === null) return null;
  if (typeof value !== 'object') return typeof value === 'number' ? value : value;
  if (value instanceof duck.DuckDBListValue) return value.items.map(plain);
  if (value instanceof duck.DuckDBStructValue) {
    return Object.fromEntries(Object.entries(value.entries).map(([name, entry]) => [name, plain(entry)]));
  }
  if (value instanceof duck.DuckDBBlobValue) return Buffer.from(value.bytes);
  if (value instanceof duck.DuckDBDecimalValue) {
    return value.scale === 0 ? value.toString() : value.toString().replace(/\.?0+$/, '');
  }
  if (value instanceof duck.DuckDBTimestampTZValue)
    return `${new duck.DuckDBTimestampValue(value.micros).toString().replace(' ', 'T')}Z`;
  if (value instanceof duck.DuckDBTimestampValue) return value.toString().replace(' ', 'T');
  return value.toString();
}
