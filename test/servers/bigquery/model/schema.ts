/** A table's columns, as BigQuery's REST resource TableSchema and the Write API's TableSchema describe them. */
import { ApiError } from './api-error.ts';

export type ColumnType =
  | 'STRING'
  | 'BYTES'
  | 'INT64'
  | 'DOUBLE'
  | 'BOOL'
  | 'TIMESTAMP'
  | 'DATE'
  | 'TIME'
  | 'DATETIME'
  | 'GEOGRAPHY'
  | 'NUMERIC'
  | 'BIGNUMERIC'
  | 'JSON'
  | 'STRUCT';
export type Mode = 'NULLABLE' | 'REQUIRED' | 'REPEATED';

export interface Column {
  readonly name: string;
  /** Names compare without case. */
  readonly key: string;
  readonly type: ColumnType;
  readonly mode: Mode;
  readonly fields: readonly Column[];
  /** Characters of a STRING, bytes of a BYTES. */
  readonly maxLength: number | null;
  readonly precision: number | null;
  readonly scale: number | null;
  readonly defaultValue: string | null;
  readonly description: string | null;
}

/**
 * A value as the fake keeps it: DATE = days since the epoch; TIME, DATETIME and TIMESTAMP = microseconds (of the day,
 * of the epoch) as bigint; NUMERIC and BIGNUMERIC = the value times 10^9 or 10^38 as bigint; BYTES = a Buffer;
 * INT64 = bigint; GEOGRAPHY and JSON = text; STRUCT = its values in the order of the columns.
 */
export type Value = string | number | bigint | boolean | Buffer | null | readonly Value[] | StructValue;
export interface StructValue {
  readonly struct: readonly Value[];
}

/** TableFieldSchema of the REST API. */
export interface RestField {
  name?: string;
  type?: string;
  mode?: string;
  fields?: RestField[];
  description?: string;
  maxLength?: string;
  precision?: string;
  scale?: string;
  defaultValueExpression?: string;
}

const TYPES: Record<string, ColumnType> = {
  STRING: 'STRING',
  BYTES: 'BYTES',
  INTEGER: 'INT64',
  INT64: 'INT64',
  FLOAT: 'DOUBLE',
  FLOAT64: 'DOUBLE',
  BOOLEAN: 'BOOL',
  BOOL: 'BOOL',
  TIMESTAMP: 'TIMESTAMP',
  DATE: 'DATE',
  TIME: 'TIME',
  DATETIME: 'DATETIME',
  GEOGRAPHY: 'GEOGRAPHY',
  NUMERIC: 'NUMERIC',
  DECIMAL: 'NUMERIC',
  BIGNUMERIC: 'BIGNUMERIC',
  BIGDECIMAL: 'BIGNUMERIC',
  JSON: 'JSON',
  RECORD: 'STRUCT',
  STRUCT: 'STRUCT',
};
/** The name that the REST API gives back: the legacy names where there are two. */
const REST_TYPE: Partial<Record<ColumnType, string>> = {
  INT64: 'INTEGER',
  DOUBLE: 'FLOAT',
  BOOL: 'BOOLEAN',
  STRUCT: 'RECORD',
};
/** The numbers of TableFieldSchema.Type and Mode in table.proto. */
const STORAGE_TYPE: Record<ColumnType, number> = {
  STRING: 1,
  INT64: 2,
  DOUBLE: 3,
  STRUCT: 4,
  BYTES: 5,
  BOOL: 6,
  TIMESTAMP: 7,
  DATE: 8,
  TIME: 9,
  DATETIME: 10,
  GEOGRAPHY: 11,
  NUMERIC: 12,
  BIGNUMERIC: 13,
  JSON: 15,
};
const STORAGE_MODE: Record<Mode, number> = { NULLABLE: 1, REQUIRED: 2, REPEATED: 3 };

export const restType = (type: ColumnType): string => REST_TYPE[type] ?? type;

const number = (text: string | undefined): number | null => (text === undefined ? null : Number(text));

/** Reads a schema as a client sends it. @throws ApiError `invalid` */
export function parseFields(fields: readonly RestField[], path = ''): Column[] {
  const seen = new Set<string>();
  return fields.map(field => {
    const name = field.name ?? '';
    const full = path + name;
    if (!/^[\p{L}_][\p{L}\p{N}\p{Pd}\p{Pc} _]{0,299}$/u.test(name)) {
      throw new ApiError(
        'invalid',
        `Invalid field name "${full}". Fields must contain the allowed characters, and be at most 300 characters long.`,
      );
    }
    if (path === '' && /^_CHANGE_(TYPE|SEQUENCE_NUMBER)$/i.test(name)) {
      throw new ApiError('invalid', `Invalid field name "${name}". Field name is reserved.`);
    }
    const key = name.toLowerCase();
    if (seen.has(key)) throw new ApiError('invalid', `Field ${full} already exists in schema`);
    seen.add(key);
    const type = TYPES[(field.type ?? '').toUpperCase()];
    if (type === undefined) throw new ApiError('invalid', `Invalid value for type: ${field.type} is not a valid value`);
    const mode = (field.mode ?? 'NULLABLE').toUpperCase();
    if (mode !== 'NULLABLE' && mode !== 'REQUIRED' && mode !== 'REPEATED') {
      throw new ApiError('invalid', `Invalid value for mode: ${field.mode} is not a valid value`);
    }
    if (type === 'STRUCT' && !field.fields?.length) {
      throw new ApiError('invalid', `Field ${full} is type RECORD but has no schema`);
    }
    return {
      name,
      key,
      type,
      mode,
      fields: type === 'STRUCT' ? parseFields(field.fields ?? [], `${full}.`) : [],
      maxLength: number(field.maxLength),
      precision: number(field.precision),
      scale: number(field.scale),
      defaultValue: field.defaultValueExpression ?? null,
      description: field.description ?? null,
    };
  });
}

export function toRest(columns: readonly Column[]): RestField[] {
  return columns.map(column => ({
    name: column.name,
    type: restType(column.type),
    mode: column.mode,
    ...(column.fields.length > 0 ? { fields: toRest(column.fields) } : {}),
    ...(column.description === null ? {} : { description: column.description }),
    ...(column.maxLength === null ? {} : { maxLength: String(column.maxLength) }),
    ...(column.precision === null ? {} : { precision: String(column.precision) }),
    ...(column.scale === null ? {} : { scale: String(column.scale) }),
    ...(column.defaultValue === null ? {} : { defaultValueExpression: column.defaultValue }),
  }));
}

export interface StorageField {
  name: string;
  type: number;
  mode: number;
  fields: StorageField[];
  maxLength?: number;
  precision?: number;
  scale?: number;
  defaultValueExpression?: string;
}

/** As `google.cloud.bigquery.storage.v1.TableSchema` has it. */
export function toStorage(columns: readonly Column[]): StorageField[] {
  return columns.map(column => ({
    name: column.name,
    type: STORAGE_TYPE[column.type],
    mode: STORAGE_MODE[column.mode],
    fields: toStorage(column.fields),
    ...(column.maxLength === null ? {} : { maxLength: column.maxLength }),
    ...(column.precision === null ? {} : { precision: column.precision }),
    ...(column.scale === null ? {} : { scale: column.scale }),
    ...(column.defaultValue === null ? {} : { defaultValueExpression: column.defaultValue }),
  }));
}
