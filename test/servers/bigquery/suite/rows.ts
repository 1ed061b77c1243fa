/**
 * Writes proto rows and descriptors by hand, for tests: nothing here is shared with what reads them, and wrong things can
 * be written, too. Source: https://protobuf.dev/programming-guides/encoding
 */

const TYPES = {
  double: 1, float: 2, int64: 3, uint64: 4, int32: 5, fixed64: 6, fixed32: 7, bool: 8, string: 9, message: 11,
  bytes: 12, uint32: 13, enum: 14, sfixed32: 15, sfixed64: 16, sint32: 17, sint64: 18,
} as const; // biome-ignore format: one table
export type ProtoType = keyof typeof TYPES;
export type Item = string | number | bigint | boolean | Uint8Array;

/** Numbers that are integers, of either kind. */
const toBigInt = (value: Item): bigint => BigInt(value as number | bigint);

/** One field of a message: its number is its place in the list, from 1, unless given. */
export interface Field {
  name: string;
  type: ProtoType;
  repeated?: boolean;
  number?: number;
  /** Of a message: its fields. */
  fields?: Field[];
  /** The type's name when it is not one of these fields' own: `.google.protobuf.Int64Value`. */
  typeName?: string;
  column?: string;
}

export interface Descriptor {
  name: string;
  field: object[];
  nestedType: Descriptor[];
}

/** As a DescriptorProto: nested messages get the name of their field. */
export function descriptor(fields: readonly Field[], name = 'root'): Descriptor {
  const nested = fields.filter(field => field.fields);
  return {
    name,
    field: fields.map((field, i) => ({
      name: field.name,
      number: field.number ?? i + 1,
      label: field.repeated ? 3 : 1,
      type: TYPES[field.type],
      ...(field.typeName !== undefined
        ? { typeName: field.typeName }
        : field.fields
          ? { typeName: `M_${field.name}` }
          : {}),
      ...(field.column === undefined
        ? {}
        : { options: { '.google.cloud.bigquery.storage.v1.columnName': field.column } }),
    })),
    nestedType: nested.map(field => descriptor(field.fields ?? [], `M_${field.name}`)),
  };
}

export function varint(value: bigint): Buffer {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    out.push(Number(rest & 127n) | (rest > 127n ? 128 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(out);
}

const delimited = (bytes: Uint8Array): Buffer => Buffer.concat([varint(BigInt(bytes.length)), bytes]);

function fixed(type: ProtoType, value: Item): Buffer {
  const out = Buffer.alloc(type.endsWith('32') || type === 'float' ? 4 : 8);
  if (type === 'double') out.writeDoubleLE(Number(value));
  else if (type === 'float') out.writeFloatLE(Number(value));
  else if (out.length === 4) out.writeUInt32LE(Number(BigInt.asUintN(32, toBigInt(value))));
  else out.writeBigUInt64LE(BigInt.asUintN(64, toBigInt(value)));
  return out;
}

function payload(type: ProtoType, value: Item): [wire: number, bytes: Buffer] {
  if (type === 'string' || type === 'bytes' || type === 'message') {
    return [2, delimited(typeof value === 'string' ? Buffer.from(value) : (value as Uint8Array))];
  }
  if (type === 'double' || type.endsWith('fixed64')) return [1, fixed(type, value)];
  if (type === 'float' || type.endsWith('fixed32')) return [5, fixed(type, value)];
  if (type === 'bool') return [0, varint(value ? 1n : 0n)];
  const integer = toBigInt(value);
  if (type === 'sint32' || type === 'sint64') return [0, varint(integer >= 0n ? integer * 2n : -integer * 2n - 1n)];
  return [0, varint(integer)];
}

/** One message: a value per field, undefined = left out, an array for a repeated one, an object for a nested one. */
export function message(fields: readonly Field[], values: Record<string, unknown>): Buffer {
  const parts: Buffer[] = [];
  for (const [i, field] of fields.entries()) {
    const value = values[field.name];
    if (value === undefined) continue;
    for (const item of (field.repeated ? value : [value]) as unknown[]) {
      const bytes =
        field.fields && !(item instanceof Uint8Array) ? message(field.fields, item as Record<string, unknown>) : item;
      const [wire, body] = payload(field.type, bytes as Item);
      parts.push(varint(BigInt(((field.number ?? i + 1) << 3) | wire)), body);
    }
  }
  return Buffer.concat(parts);
}
