/**
 * Compares the writer's schema (a self-contained DescriptorProto) with the table's columns and makes the plan by which
 * the rows are read. Source: storage.proto, protobuf.proto and the GCP page "Supported protocol buffer data types".
 */
import type { Column } from '../model/schema.ts';
import { parseFields } from '../model/schema.ts';
import type { DescriptorProto, FieldDescriptorProto } from './protos.ts';

/** FieldDescriptorProto.Type (descriptor.proto). */
export const Type = {
  double: 1, float: 2, int64: 3, uint64: 4, int32: 5, fixed64: 6, fixed32: 7, bool: 8, string: 9, group: 10, message: 11,
  bytes: 12, uint32: 13, enum: 14, sfixed32: 15, sfixed64: 16, sint32: 17, sint64: 18,
} as const; // biome-ignore format: one table
const TYPE_NAME = new Map<number, string>(Object.entries(Type).map(([name, number]) => [number, name]));
const REQUIRED = 2;
const REPEATED = 3;
/** The wire type of each: 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes. */
const WIRE: Record<string, 0 | 1 | 2 | 5> = {
  double: 1, fixed64: 1, sfixed64: 1, float: 5, fixed32: 5, sfixed32: 5, string: 2, bytes: 2, message: 2,
}; // biome-ignore format: one table

const INTEGERS = [
  'int32',
  'int64',
  'uint32',
  'uint64',
  'sint32',
  'sint64',
  'fixed32',
  'fixed64',
  'sfixed32',
  'sfixed64',
];
const NUMBERS = [...INTEGERS, 'double', 'float', 'string', 'bytes'];
/** Which proto types a column takes. sint and fixed count as their plain forms: our reading. */
const ACCEPTS: Record<Column['type'], readonly string[]> = {
  BOOL: ['bool', ...INTEGERS],
  BYTES: ['bytes', 'string'],
  DATE: ['int32', 'int64', 'sint32', 'sint64', 'sfixed32', 'sfixed64', 'string'],
  DATETIME: ['string', 'int64', 'sfixed64', 'sint64'],
  TIME: ['string', 'int64', 'sfixed64', 'sint64'],
  DOUBLE: ['double', 'float'],
  GEOGRAPHY: ['string'],
  INT64: ['int32', 'int64', 'uint32', 'enum', 'sint32', 'sint64', 'fixed32', 'sfixed32', 'sfixed64'],
  JSON: ['string'],
  NUMERIC: NUMBERS,
  BIGNUMERIC: NUMBERS,
  STRING: ['string', 'enum'],
  TIMESTAMP: ['int64', 'int32', 'uint32', 'sint64', 'sint32', 'sfixed64', 'sfixed32', 'fixed32'],
  STRUCT: ['message'],
};
/** Well-known messages that stand for one value: the type of their field 1. */
const WRAPPERS: Record<string, number> = {
  BoolValue: Type.bool,
  BytesValue: Type.bytes,
  DoubleValue: Type.double,
  FloatValue: Type.float,
  Int32Value: Type.int32,
  Int64Value: Type.int64,
  UInt32Value: Type.uint32,
  StringValue: Type.string,
};

/** How one proto field becomes one column. */
export interface FieldPlan {
  readonly wire: 0 | 1 | 2 | 5;
  readonly type: number;
  readonly repeated: boolean;
  readonly column: Column;
  readonly path: string;
  /** The column's place in the row. */
  readonly index: number;
  /** The bit in the row's mask of required columns; -1 for the others. */
  readonly required: number;
  readonly nested: Plan | null;
  /** google.protobuf.XValue: the value is field 1 of the message. `timestamp`: seconds and nanos. */
  readonly wrapper: 'value' | 'timestamp' | null;
  readonly enumNames: ReadonlyMap<number, string> | null;
}

export interface Plan {
  readonly byNumber: readonly (FieldPlan | undefined)[];
  readonly columns: readonly Column[];
  readonly required: readonly FieldPlan[];
  /** Columns that the writer's schema leaves out, with what stands there. */
  readonly absent: readonly { column: Column; index: number }[];
  readonly change: { type: number; sequence: number } | null;
}

/** The whole request is refused for what its schema says. */
export class SchemaMismatch extends Error {
  override readonly name = 'SchemaMismatch';
  readonly extraFields: boolean;

  constructor(message: string, extraFields = false) {
    super(message);
    this.extraFields = extraFields;
  }
}

const [CHANGE_TYPE, CHANGE_SEQUENCE] = ['_CHANGE_TYPE', '_CHANGE_SEQUENCE_NUMBER'] as const;
const pseudo = (name: string): Column => ({
  ...(parseFields([{ name: 'x', type: 'STRING' }])[0] as Column),
  name,
  key: name.toLowerCase(),
});

/** @throws SchemaMismatch */
export function makePlan(descriptor: DescriptorProto, table: readonly Column[]): Plan {
  const names = new Set((descriptor.field ?? []).map(field => nameOf(field).toUpperCase()));
  const pseudos = [CHANGE_TYPE, CHANGE_SEQUENCE].filter(name => names.has(name)).map(pseudo);
  if (pseudos.length === 1 && pseudos[0]?.name === CHANGE_SEQUENCE) {
    throw new SchemaMismatch(`${CHANGE_SEQUENCE} must not be specified without ${CHANGE_TYPE}`);
  }
  const change =
    pseudos.length === 0 ? null : { type: table.length, sequence: pseudos.length === 2 ? table.length + 1 : -1 };
  return planMessage(descriptor, [...table, ...pseudos], descriptor.name ?? 'root', '', [descriptor], change);
}

function nameOf(field: FieldDescriptorProto): string {
  const annotated = (field.options as Record<string, unknown> | null | undefined)?.[
    '.google.cloud.bigquery.storage.v1.columnName'
  ];
  return typeof annotated === 'string' && annotated !== '' ? annotated : (field.name ?? '');
}

function planMessage(
  descriptor: DescriptorProto,
  columns: readonly Column[],
  location: string,
  path: string,
  scopes: readonly DescriptorProto[],
  change: Plan['change'],
): Plan {
  const byNumber: FieldPlan[] = [];
  const required: FieldPlan[] = [];
  const index = new Map(columns.map((column, i) => [column.key, i]));
  const extra: string[] = [];
  const used = new Set<number>();
  for (const field of descriptor.field ?? []) {
    const at = index.get(nameOf(field).toLowerCase());
    if (at === undefined) {
      extra.push(path + nameOf(field));
      continue;
    }
    if (used.has(at)) throw new SchemaMismatch(`Two proto fields stand for the column ${path}${nameOf(field)}`);
    used.add(at);
    const number = field.number ?? 0;
    if (number < 1 || number > 100_000)
      throw new SchemaMismatch(`Invalid proto schema: field number ${number} of ${nameOf(field)}`);
    const plan = planField(field, columns[at] as Column, at, required.length, location, path, scopes);
    byNumber[number] = plan;
    if (plan.required >= 0) required.push(plan);
  }
  if (extra.length > 0) {
    throw new SchemaMismatch(
      `Input schema has more fields than BigQuery schema, extra fields: '${extra.join(',')}'`,
      true,
    );
  }
  const absent = columns.flatMap((column, i) => (used.has(i) ? [] : [{ column, index: i }]));
  const forced = absent.find(each => each.column.mode === 'REQUIRED' && each.column.defaultValue === null);
  if (forced && change === null) {
    throw new SchemaMismatch(`The required field '${path}${forced.column.name}' is missing in the input schema`);
  }
  return { byNumber, columns, required, absent, change };
}

function planField(
  field: FieldDescriptorProto,
  column: Column,
  index: number,
  ordinal: number,
  location: string,
  path: string,
  scopes: readonly DescriptorProto[],
): FieldPlan {
  let type = field.type as unknown as number;
  const message = type === Type.message;
  const known = message ? /^\.?google\.protobuf\.(\w+)$/.exec(field.typeName ?? '')?.[1] : undefined;
  let wrapper: FieldPlan['wrapper'] = null;
  if (known === 'Timestamp' && column.type === 'TIMESTAMP') wrapper = 'timestamp';
  else if (known !== undefined && WRAPPERS[known] !== undefined) {
    wrapper = 'value';
    type = WRAPPERS[known];
  }
  const name = TYPE_NAME.get(type) ?? `type ${type}`;
  const repeated = (field.label as unknown as number) === REPEATED;
  if ((!ACCEPTS[column.type].includes(name) && wrapper !== 'timestamp') || repeated !== (column.mode === 'REPEATED')) {
    const shown = `${repeated ? 'repeated ' : ''}${name}`;
    const mode = repeated === (column.mode === 'REPEATED') ? '' : `${column.mode} `;
    throw new SchemaMismatch(
      `The proto field mismatched with BigQuery field at ${location}.${nameOf(field)}, the proto field type ${shown}, BigQuery field type ${mode}${column.type === 'INT64' ? 'INTEGER' : column.type}`,
    );
  }
  const nestedScopes = column.type === 'STRUCT' ? resolve(field.typeName ?? '', scopes) : null;
  const nested = nestedScopes && nestedScopes.at(-1);
  const must = column.mode === 'REQUIRED' || (field.label as unknown as number) === REQUIRED;
  return {
    wire: wrapper === null ? (WIRE[name] ?? 0) : 2,
    type,
    repeated,
    column,
    path: path + column.name,
    index,
    required: must ? ordinal : -1,
    nested:
      nested && nestedScopes
        ? planMessage(
            nested,
            column.fields,
            `${location}.${nameOf(field)}`,
            `${path}${column.name}.`,
            nestedScopes,
            null,
          )
        : null,
    wrapper,
    enumNames: type === Type.enum ? enumOf(field.typeName ?? '', scopes) : null,
  };
}

/** A message type by its name, looked for from the innermost scope outwards; returns the scopes with it as the last. */
function resolve(typeName: string, scopes: readonly DescriptorProto[]): DescriptorProto[] {
  const last = typeName.split('.').at(-1);
  for (let depth = scopes.length; depth > 0; depth--) {
    const found = (scopes[depth - 1]?.nestedType ?? []).find(each => each.name === last);
    if (found) return [...scopes.slice(0, depth), found];
  }
  throw new SchemaMismatch(
    `Invalid proto schema: the type '${typeName}' is not defined in the descriptor; it must be self-contained`,
  );
}

function enumOf(typeName: string, scopes: readonly DescriptorProto[]): Map<number, string> {
  const last = typeName.split('.').at(-1);
  const found = scopes.flatMap(scope => scope.enumType ?? []).find(each => each.name === last);
  if (!found) throw new SchemaMismatch(`Invalid proto schema: the enum '${typeName}' is not defined in the descriptor`);
  return new Map((found.value ?? []).map(each => [each.number ?? 0, each.name ?? '']));
}
