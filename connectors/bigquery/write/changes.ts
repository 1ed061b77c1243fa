import type { Row } from '../../runtime/contract.ts';
import type { BigQueryConfig } from '../config.ts';
import { ColumnError } from '../encode/column-error.ts';
import { columnFor, type Fields, isFields } from '../encode/names.ts';
import { jsonOf } from '../mapping/decoder.ts';
import { getterOf } from '../mapping/paths.ts';
import { toJson } from '../values/texts.ts';
import type { Column } from '../schema/columns.ts';
import { isExactNumber } from '../values/exact-number.ts';

/** Change data capture (cloud.google.com/bigquery/docs/change-data-capture): two columns beside the table's own say what
 * a row does to the row of its primary key, and in which order. */

export const CHANGE_COLUMNS: readonly Column[] = ['_CHANGE_TYPE', '_CHANGE_SEQUENCE_NUMBER'].map(name => ({
  name,
  type: 'STRING',
  mode: 'NULLABLE',
  fields: [],
  hasDefault: false,
}));

const TYPES: Record<string, 'UPSERT' | 'DELETE'> = {
  upsert: 'UPSERT',
  insert: 'UPSERT',
  update: 'UPSERT',
  delete: 'DELETE',
  c: 'UPSERT',
  r: 'UPSERT',
  u: 'UPSERT',
  d: 'DELETE',
};

/** Up to four groups of 16 hexadecimal digits. */
const SEQUENCE = /^[0-9A-Fa-f]{1,16}(?:\/[0-9A-Fa-f]{1,16}){0,3}$/;

export class Changes {
  private readonly rules: NonNullable<BigQueryConfig['cdc']>;
  private readonly type: (value: unknown) => unknown;
  private readonly sequence: ((value: unknown) => unknown) | null;

  constructor(rules: NonNullable<BigQueryConfig['cdc']>) {
    this.rules = rules;
    this.type = getterOf(rules.change_type ?? '_CHANGE_TYPE');
    this.sequence = rules.sequence === undefined ? null : getterOf(rules.sequence);
  }

  /** Is the row a delete by its key alone? */
  isTombstone({ record }: Row): boolean {
    return record.value === null && this.rules.tombstones;
  }

  /** The fields of the row that a tombstone deletes: the key is an object, or the value of the one key column. */
  tombstone(row: Row, primaryKey: readonly string[]): Fields {
    if (primaryKey.length === 0)
      throw new ColumnError('INVALID_VALUE', '', 'the table has no primary key to delete by');
    const { key } = row.record;
    const text = key === null ? null : Buffer.from(key.buffer, key.byteOffset, key.length).toString();
    let given: unknown = text;
    if (text !== null && (primaryKey.length > 1 || /^\s*\{/.test(text))) given = jsonOf(key, 'key');
    const [only = ''] = primaryKey;
    const fields = isFields(given) && !isExactNumber(given) ? given : { [only]: given };
    const missing = primaryKey.find(name => fields[name] === undefined || fields[name] === null);
    if (missing !== undefined) throw new ColumnError('MISSING_FIELD', missing, `the key has no ${missing}`);
    return { ...fields, _CHANGE_TYPE: 'DELETE', _CHANGE_SEQUENCE_NUMBER: this.number(null, row) };
  }

  /** The row's fields with the two columns of the change. */
  of(decoded: unknown, fields: Fields, row: Row, columns: readonly Column[]): Fields {
    const given = this.type(decoded);
    const type =
      given === undefined || given === null ? 'UPSERT' : TYPES[typeof given === 'string' ? given.toLowerCase() : ''];
    if (!type) {
      throw new ColumnError('INVALID_VALUE', '_CHANGE_TYPE', `the change type ${JSON.stringify(given)} is not known`);
    }
    const changed: Fields = { ...fields, _CHANGE_TYPE: type, _CHANGE_SEQUENCE_NUMBER: this.number(decoded, row) };
    // What says so need not be a column too.
    for (const name of [this.rules.change_type, this.rules.sequence]) {
      if (name !== undefined && !columnFor(columns, name)) delete changed[name];
    }
    if (type === 'UPSERT') {
      const missing = columns.find(
        ({ name, mode, hasDefault }) => mode === 'REQUIRED' && !hasDefault && (changed[name] ?? null) === null,
      );
      if (missing) throw new ColumnError('MISSING_FIELD', missing.name, `missing required field: ${missing.name}`);
    }
    return changed;
  }

  private number(decoded: unknown, row: Row): string {
    const given = decoded === null || !this.sequence ? undefined : this.sequence(decoded);
    if (given === undefined || given === null) return row.record.offset.toString(16).toUpperCase();
    if (typeof given === 'string' && SEQUENCE.test(given)) return given;
    const text = isExactNumber(given) ? given.rawJSON : toJson(given);
    if (/^\d{1,20}$/.test(text) && BigInt(text) < 2n ** 64n) return BigInt(text).toString(16).toUpperCase();
    throw new ColumnError('INVALID_VALUE', '_CHANGE_SEQUENCE_NUMBER', `the sequence ${text} is no number`);
  }
}

/** For changes: a delete has no more than the key, so that no column can be required in the rows' schema. */
export const relaxed = (columns: readonly Column[]): Column[] =>
  columns.map(column => (column.mode === 'REQUIRED' ? { ...column, mode: 'NULLABLE' } : column));
