import type { CreateColumn } from '../config.ts';
import { isFields } from '../encode/names.ts';
import { typeNamed, type RestField } from '../schema/columns.ts';
import { isExactNumber } from '../values/exact-number.ts';

/** Columns for what a table has not: as declared in `create.columns`, or from a value. */

/** NUMERIC(10, 2), STRING(20) and plain names. */
const TYPE = /^\s*([A-Za-z0-9]+)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)|<\s*([A-Za-z0-9]+)\s*>)?\s*$/;

export function restFieldOf(column: CreateColumn): RestField {
  const [, type = column.type, first, second, element] = TYPE.exec(column.type) ?? [];
  const known = typeNamed(type);
  const field: RestField = { name: column.name, type: type.toUpperCase(), mode: column.mode };
  if (first !== undefined && (known === 'NUMERIC' || known === 'BIGNUMERIC')) {
    field.precision = first;
    if (second !== undefined) field.scale = second;
  } else if (first !== undefined && known === 'TIMESTAMP') field.timestampPrecision = first;
  else if (first !== undefined) field.maxLength = first;
  if (element !== undefined) field.rangeElementType = { type: element.toUpperCase() };
  if (column.default !== undefined) field.defaultValueExpression = column.default;
  if (column.fields) field.fields = column.fields.map(restFieldOf);
  return field;
}

/** Fields for the properties of a row; those whose type cannot be told (null, empty arrays) are left for later. */
export function inferFields(row: Record<string, unknown>): RestField[] {
  return Object.entries(row).flatMap(([name, value]) => {
    const field = inferField(name, value);
    return field ? [field] : [];
  });
}

export function inferField(name: string, value: unknown): RestField | null {
  if (Array.isArray(value)) {
    const element = inferField(name, merged(value));
    // An array of arrays has no type in BigQuery but JSON.
    return (
      element &&
      (element.mode === 'REPEATED' ? { name, type: 'JSON', mode: 'NULLABLE' } : { ...element, mode: 'REPEATED' })
    );
  }
  if (isFields(value) && !isExactNumber(value)) {
    const fields = inferFields(value);
    return fields.length === 0 ? null : { name, type: 'STRUCT', mode: 'NULLABLE', fields };
  }
  const type = scalarType(value);
  return type === null ? null : { name, type, mode: 'NULLABLE' };
}

/** Text stays text: what looks like a date today may not tomorrow. */
function scalarType(value: unknown): string | null {
  if (typeof value === 'string') return 'STRING';
  if (typeof value === 'boolean') return 'BOOL';
  if (typeof value === 'bigint') return 'INT64';
  if (typeof value === 'number') return Number.isSafeInteger(value) ? 'INT64' : 'FLOAT64';
  if (isExactNumber(value)) return /^-?\d{1,18}$/.test(value.rawJSON) ? 'INT64' : 'BIGNUMERIC';
  return value instanceof Uint8Array ? 'BYTES' : null;
}

/** One value that stands for an array's elements: objects with all their fields; a fraction before a whole number. */
function merged(values: readonly unknown[]): unknown {
  const present = values.filter(value => value !== null && value !== undefined);
  if (present.length > 0 && present.every(value => isFields(value) && !isExactNumber(value))) {
    return Object.assign({}, ...present) as unknown;
  }
  return present.find(value => typeof value === 'number' && !Number.isInteger(value)) ?? present[0];
}

/** Adds what `wanted` has beyond `have`, nested fields included; what is there stays as it is. Null: nothing to add. */
export function withAdded(have: readonly RestField[], wanted: readonly RestField[]): RestField[] | null {
  let isChanged = false;
  const fields = have.map(field => {
    const other = wanted.find(each => each.name.toLowerCase() === field.name.toLowerCase());
    if (!other?.fields || !field.fields) return field;
    const inner = withAdded(field.fields, other.fields);
    isChanged ||= inner !== null;
    return inner ? { ...field, fields: inner } : field;
  });
  for (const field of wanted) {
    if (have.some(each => each.name.toLowerCase() === field.name.toLowerCase())) continue;
    fields.push(field);
    isChanged = true;
  }
  return isChanged ? fields : null;
}
