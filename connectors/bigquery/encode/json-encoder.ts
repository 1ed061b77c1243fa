import type { Column } from '../schema/columns.ts';
import { toBool, toDecimal, toFloat64, toInt64 } from '../values/numbers.ts';
import { toBytes, toGeography, toInterval, toJson, toText } from '../values/texts.ts';
import { dateText, type EpochUnit, toDateTime, toDays, toInstantText, toTime } from '../values/times.ts';
import { expected, Unfit } from '../values/unfit.ts';
import { ColumnError } from './column-error.ts';
import { columnFor, type Fields, type IgnoreUnknown, isFields, isIgnored, pathOf } from './names.ts';

/** A row as insertAll takes it: JSON values in BigQuery's canonical text, checked like the rows of the Write API. */

export interface JsonOptions {
  ignoreUnknown: IgnoreUnknown;
  epoch: EpochUnit;
}

/** Throws ColumnError. */
export function jsonRow(columns: readonly Column[], row: Fields, options: JsonOptions, path = ''): Fields {
  const out: Fields = {};
  for (const [field, value] of Object.entries(row)) {
    const column = columnFor(columns, field);
    if (!column) {
      if (isIgnored(options.ignoreUnknown, value)) continue;
      throw new ColumnError('NO_SUCH_FIELD', pathOf(path, field), `no such field: ${pathOf(path, field)}`);
    }
    if (Object.hasOwn(out, column.name)) {
      throw new ColumnError('INVALID_VALUE', pathOf(path, column.name), 'the row has this field twice');
    }
    if (value === null || value === undefined) continue;
    const fitted =
      column.mode === 'REPEATED' ? repeated(column, value, options, path) : one(column, value, options, path);
    if (column.name !== '__proto__') out[column.name] = fitted;
    // An own property here too.
    else
      Object.defineProperty(out, column.name, { value: fitted, enumerable: true, writable: true, configurable: true });
  }
  for (const { name, mode, hasDefault } of columns) {
    if (mode === 'REQUIRED' && !hasDefault && !Object.hasOwn(out, name)) {
      throw new ColumnError('MISSING_FIELD', pathOf(path, name), `missing required field: ${pathOf(path, name)}`);
    }
  }
  return out;
}

function repeated(column: Column, value: unknown, options: JsonOptions, parent: string): unknown[] {
  const path = (): string => pathOf(parent, column.name);
  if (!Array.isArray(value)) throw unfit(path(), expected(`an array of ${column.type}`, value));
  return value.map((each: unknown, i) => {
    if (each === null || each === undefined) throw unfit(`${path()}[${i}]`, new Unfit('an array holds no NULL'));
    return one(column, each, options, parent, `[${i}]`);
  });
}

/** `index`: which element of an array it is. Paths are made for those who need them: most rows have no error. */
function one(column: Column, value: unknown, options: JsonOptions, parent: string, index = ''): unknown {
  if (column.type === 'STRUCT') {
    const path = pathOf(parent, column.name) + index;
    if (!isFields(value)) throw unfit(path, expected('STRUCT (an object)', value));
    return jsonRow(column.fields, value, options, path);
  }
  try {
    return scalar(column, value, options.epoch);
  } catch (thrown) {
    if (thrown instanceof Unfit) throw unfit(pathOf(parent, column.name) + index, thrown);
    throw thrown;
  }
}

const unfit = (path: string, { message }: Unfit): ColumnError =>
  new ColumnError('INVALID_VALUE', path, `${path}: ${message}`);

function scalar(column: Column, value: unknown, epoch: EpochUnit): unknown {
  const { type } = column;
  switch (type) {
    case 'STRING':
      return toText(value, column.maxLength);
    case 'INT64': {
      const whole = toInt64(value);
      return typeof whole === 'bigint' ? String(whole) : whole;
    }
    case 'FLOAT64': {
      const number = toFloat64(value);
      return Number.isFinite(number) ? number : Number.isNaN(number) ? 'NaN' : number > 0 ? 'Infinity' : '-Infinity';
    }
    case 'BOOL':
      return toBool(value);
    case 'BYTES': {
      const bytes = toBytes(value, column.maxLength);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
    }
    case 'NUMERIC':
    case 'BIGNUMERIC':
      return toDecimal(value, { type, precision: column.precision, scale: column.scale });
    case 'DATE':
      return dateText(toDays(value));
    case 'TIME':
      return toTime(value);
    case 'DATETIME':
      return toDateTime(value);
    case 'TIMESTAMP':
      return toInstantText(value, epoch, column.secondDigits ?? 6);
    case 'GEOGRAPHY':
      return toGeography(value);
    case 'JSON':
      return toJson(value);
    case 'INTERVAL':
      return toInterval(value);
    case 'STRUCT':
      throw new TypeError('a STRUCT is no scalar');
  }
}
