import type { Column } from '../schema/columns.ts';
import { ColumnError } from './column-error.ts';

/** BigQuery's column names do not tell upper from lower case; a field of a row finds its column the same way. */

export type Fields = Record<string, unknown>;

const tables = new WeakMap<readonly Column[], Map<string, Column>>();

/** The column for a field; undefined when the table has none. */
export function columnFor(columns: readonly Column[], field: string): Column | undefined {
  let byName = tables.get(columns);
  if (!byName) {
    byName = new Map(columns.map(column => [column.name.toLowerCase(), column]));
    tables.set(columns, byName);
  }
  return byName.get(field.toLowerCase());
}

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);

/** What to do with fields that the table has not: `empty` ones have nothing to lose. */
export type IgnoreUnknown = boolean | 'empty';

export function isIgnored(rule: IgnoreUnknown, value: unknown): boolean {
  return rule === true || (rule === 'empty' && (value === null || (Array.isArray(value) && value.length === 0)));
}

export const pathOf = (parent: string, name: string): string => (parent === '' ? name : `${parent}.${name}`);

/** The row with the table's own spelling of every field. Throws ColumnError for fields that the table has not, unless
 * they are to be left out. */
export function withColumnNames(
  columns: readonly Column[],
  row: Fields,
  ignoreUnknown: IgnoreUnknown,
  path = '',
): Fields {
  const named: Fields = Object.create(null) as Fields;
  for (const [field, value] of Object.entries(row)) {
    const column = columnFor(columns, field);
    if (!column) {
      if (isIgnored(ignoreUnknown, value)) continue;
      throw new ColumnError('NO_SUCH_FIELD', pathOf(path, field), `no such field: ${pathOf(path, field)}`);
    }
    if (column.name in named) {
      throw new ColumnError('INVALID_VALUE', pathOf(path, column.name), 'the row has this field twice');
    }
    named[column.name] = column.type === 'STRUCT' ? inside(column, value, ignoreUnknown, path) : value;
  }
  return named;
}

function inside({ name, fields }: Column, value: unknown, ignoreUnknown: IgnoreUnknown, parent: string): unknown {
  const path = pathOf(parent, name);
  if (Array.isArray(value)) {
    return value.map((each: unknown, i) =>
      isFields(each) ? withColumnNames(fields, each, ignoreUnknown, `${path}[${i}]`) : each,
    );
  }
  return isFields(value) ? withColumnNames(fields, value, ignoreUnknown, path) : value;
}
