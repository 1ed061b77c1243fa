/** A table's columns as the encoders see them, from either of BigQuery's two spellings of a schema. */

export type ColumnType =
  | 'STRING'
  | 'BYTES'
  | 'INT64'
  | 'FLOAT64'
  | 'BOOL'
  | 'NUMERIC'
  | 'BIGNUMERIC'
  | 'DATE'
  | 'DATETIME'
  | 'TIME'
  | 'TIMESTAMP'
  | 'GEOGRAPHY'
  | 'JSON'
  | 'INTERVAL'
  | 'STRUCT';

export interface Column {
  name: string;
  type: ColumnType;
  mode: 'NULLABLE' | 'REQUIRED' | 'REPEATED';
  /** Of a STRUCT; a RANGE is a STRUCT of `start` and `end`. */
  fields: readonly Column[];
  /** The table fills it when a row has none. */
  hasDefault: boolean;
  /** Of NUMERIC(p, s) and BIGNUMERIC(p, s). */
  precision?: number;
  scale?: number;
  /** Of STRING(n), in characters, and BYTES(n), in bytes. */
  maxLength?: number;
  /** Of TIMESTAMP: digits of a second that are kept, 6 or 12. */
  secondDigits?: number;
}

/** A field of the REST API's TableSchema (cloud.google.com/bigquery/docs/reference/rest/v2/tables#TableFieldSchema). */
export interface RestField {
  name: string;
  type: string;
  mode?: string | undefined;
  fields?: RestField[] | undefined;
  description?: string | undefined;
  maxLength?: string | number | undefined;
  precision?: string | number | undefined;
  scale?: string | number | undefined;
  timestampPrecision?: string | number | undefined;
  defaultValueExpression?: string | undefined;
  rangeElementType?: { type: string } | undefined;
}

/** A field of google.cloud.bigquery.storage.v1.TableSchema, decoded with names for enums and strings for int64. */
export interface StorageField {
  name: string;
  type: string;
  mode?: string | null;
  fields?: StorageField[] | null;
  maxLength?: string | number | null;
  precision?: string | number | null;
  scale?: string | number | null;
  timestampPrecision?: { value?: string | number | null } | null;
  defaultValueExpression?: string | null;
  rangeElementType?: { type?: string | null } | null;
}

/** Both APIs' names, the old SQL ones included. */
const TYPES: Record<string, ColumnType> = {
  STRING: 'STRING',
  BYTES: 'BYTES',
  INTEGER: 'INT64',
  INT64: 'INT64',
  FLOAT: 'FLOAT64',
  FLOAT64: 'FLOAT64',
  DOUBLE: 'FLOAT64',
  BOOLEAN: 'BOOL',
  BOOL: 'BOOL',
  NUMERIC: 'NUMERIC',
  DECIMAL: 'NUMERIC',
  BIGNUMERIC: 'BIGNUMERIC',
  BIGDECIMAL: 'BIGNUMERIC',
  DATE: 'DATE',
  DATETIME: 'DATETIME',
  TIME: 'TIME',
  TIMESTAMP: 'TIMESTAMP',
  GEOGRAPHY: 'GEOGRAPHY',
  JSON: 'JSON',
  INTERVAL: 'INTERVAL',
  RECORD: 'STRUCT',
  STRUCT: 'STRUCT',
};

/** The type behind a name of either API; null for one that we do not know. */
export const typeNamed = (name: string): ColumnType | null => TYPES[name.toUpperCase()] ?? null;

export function columnsOfRest(fields: readonly RestField[]): Column[] {
  return fields.map(field => columnOf({ ...field, timestampPrecision: { value: field.timestampPrecision ?? null } }));
}

export function columnsOfStorage(fields: readonly StorageField[]): Column[] {
  return fields.map(field => columnOf(field));
}

interface AnyField {
  name: string;
  type: string;
  mode?: string | null | undefined;
  fields?: readonly AnyField[] | null | undefined;
  maxLength?: string | number | null | undefined;
  precision?: string | number | null | undefined;
  scale?: string | number | null | undefined;
  timestampPrecision?: unknown;
  defaultValueExpression?: string | null | undefined;
  rangeElementType?: { type?: string | null } | null | undefined;
}

function columnOf(field: AnyField): Column {
  const isRange = field.type.toUpperCase() === 'RANGE';
  const type = isRange ? 'STRUCT' : typeNamed(field.type);
  // A type of tomorrow: its text is passed on, and BigQuery says what it thinks of it.
  const known = type ?? 'STRING';
  const column: Column = {
    name: field.name,
    type: known,
    mode: modeOf(field.mode),
    fields: isRange ? rangeFields(field.rangeElementType?.type ?? 'DATE') : (field.fields ?? []).map(columnOf),
    hasDefault: Boolean(field.defaultValueExpression),
  };
  const { maxLength, precision, scale } = field;
  if (Number(maxLength) > 0) column.maxLength = Number(maxLength);
  if (Number(precision) > 0) {
    column.precision = Number(precision);
    column.scale = Number(scale ?? 0);
  }
  if (known === 'TIMESTAMP') column.secondDigits = precisionOf(field.timestampPrecision);
  return column;
}

function precisionOf(given: unknown): number {
  const inner = typeof given === 'object' && given !== null && 'value' in given ? given.value : given;
  return Number(inner) === 12 ? 12 : 6;
}

function modeOf(mode: string | null | undefined): Column['mode'] {
  const upper = mode?.toUpperCase();
  return upper === 'REQUIRED' || upper === 'REPEATED' ? upper : 'NULLABLE';
}

function rangeFields(element: string): Column[] {
  return ['start', 'end'].map(name => columnOf({ name, type: element }));
}

/** What tells two schemas apart, for an encoder: equal text, equal bytes. */
export const fingerprintOf = (columns: readonly Column[]): string => JSON.stringify(columns);
