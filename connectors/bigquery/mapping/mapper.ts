import { ColumnError } from '../encode/column-error.ts';
import { type Fields, isFields } from '../encode/names.ts';
import type { Row } from '../../runtime/contract.ts';
import { defaultOf, type ExpressionContext } from './expressions.ts';
import { getterOf, put } from './paths.ts';

/** Makes a decoded record into the fields of a row, as `[schema]` says. */
export type Mapper = (decoded: unknown, row: Row) => Fields;

export interface MappingRules {
  mapping: 'direct' | 'custom' | 'nested';
  root_field?: string | undefined;
  column_mappings: Record<string, string>;
  default_values: Record<string, unknown>;
}

/** The mapper throws ColumnError for a record that is no row. */
export function mapperOf(rules: MappingRules, context: ExpressionContext): Mapper {
  const root = rules.mapping === 'nested' && rules.root_field ? getterOf(rules.root_field) : null;
  const mappings = Object.entries(rules.column_mappings).map(([source, column]) => ({
    get: source.startsWith('$') ? metadataOf(source) : getterOf(source),
    to: column.split('.'),
  }));
  const defaults = Object.entries(rules.default_values).map(([column, given]) => ({
    get: getterOf(column),
    to: column.split('.'),
    make: defaultOf(given),
  }));
  return (decoded, row) => {
    const found = root ? root(decoded) : decoded;
    if (!isFields(found)) {
      const where = root ? `at ${rules.root_field} there is` : 'the record is';
      throw new ColumnError('INVALID_VALUE', rules.root_field ?? '', `${where} no object`);
    }
    let fields: Fields = found;
    if (rules.mapping === 'custom') fields = {};
    else if (mappings.length > 0 || defaults.length > 0) fields = { ...found };
    for (const { get, to } of mappings) {
      const value = get(found, row);
      if (value !== undefined) put(fields, to, value);
    }
    for (const { get, to, make } of defaults) {
      const value = get(fields);
      if (value === undefined || value === null) put(fields, to, make(context));
    }
    return fields;
  };
}

/** Sources that name what the log knows, beside "$headers.NAME". */
export const METADATA = ['$topic', '$partition', '$offset', '$timestamp', '$key'] as const;

type MetadataGetter = (decoded: unknown, row: Row) => unknown;

/** What the log knows of a record; a replayed one is where it was first. */
function metadataOf(source: string): MetadataGetter {
  const place = (row: Row): { topic: string; partition: number; offset: number } =>
    row.origin ?? { topic: row.topic, partition: row.partition, offset: row.record.offset };
  switch (source) {
    case '$topic':
      return (_, row) => place(row).topic;
    case '$partition':
      return (_, row) => place(row).partition;
    case '$offset':
      return (_, row) => place(row).offset;
    case '$timestamp':
      return (_, { record }) => new Date(record.timestamp).toISOString();
    case '$key':
      return (_, { record }) => text(record.key);
    default: {
      const header = /^\$headers\.(.+)$/.exec(source)?.[1];
      return (_, { record }) => text(record.headers.findLast(([name]) => name === header)?.[1] ?? null);
    }
  }
}

const text = (bytes: Uint8Array | null): string | undefined =>
  bytes === null ? undefined : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
