import { malformed, type Reader } from './reader.ts';
import { covers, defaultsOf, type Field, type Fields, type ScalarKind } from './schema.ts';

export type ReadStruct = (reader: Reader) => Record<string, unknown>;
type Read = (reader: Reader) => unknown;

/** Builds the reader of a struct: plain fields in order, then (flexible versions) the tagged ones. */
export function compileReader(fields: Fields, version: number, flexible: boolean): ReadStruct {
  const defaults = defaultsOf(fields);
  const names: string[] = [];
  const reads: Read[] = [];
  const tagged = new Map<number, { name: string; read: Read }>();
  for (const [name, field] of Object.entries(fields)) {
    if (!covers(field.versions, version)) continue;
    const read = compileField(field, version, flexible);
    if (field.tag !== null && covers(field.tagged, version)) tagged.set(field.tag, { name, read });
    else {
      names.push(name);
      reads.push(read);
    }
  }
  return reader => {
    // A copy of the defaults first: all structs of one schema then share one shape.
    const result: Record<string, unknown> = { ...defaults };
    for (let i = 0; i < reads.length; i++) result[names[i] as string] = (reads[i] as Read)(reader);
    if (flexible) {
      reader.tags(tag => {
        const known = tagged.get(tag);
        return known && (() => (result[known.name] = known.read(reader)));
      });
    }
    return result;
  };
}

function compileField(field: Field, version: number, flexible: boolean): Read {
  const nullable = covers(field.nullable, version);
  const { type } = field;
  if (type.kind === 'struct') {
    const read = compileReader(type.fields, version, flexible);
    return nullable ? reader => (reader.int8() < 0 ? null : read(reader)) : read;
  }
  if (type.kind === 'array') return compileArray(type.element, version, flexible, nullable);
  if (type.kind === 'string') return sized(nullable, flexible, 2, (reader, length) => reader.text(length));
  if (type.kind === 'bytes' || type.kind === 'records') {
    return sized(nullable, flexible, 4, (reader, length) => reader.view(length));
  }
  return FIXED[type.kind];
}

/** A length (int16 or int32, -1 = null; flexible: varint of length + 1, 0 = null), then what `read` makes of it. */
function sized(
  nullable: boolean,
  flexible: boolean,
  lengthBytes: 2 | 4,
  read: (reader: Reader, length: number) => unknown,
): Read {
  const onNull = (): null => {
    if (nullable) return null;
    throw malformed('null where no null is allowed');
  };
  if (flexible) {
    return reader => {
      const length = reader.unsigned() - 1;
      return length < 0 ? onNull() : read(reader, length);
    };
  }
  if (lengthBytes === 2) {
    return reader => {
      const length = reader.int16();
      return length < 0 ? onNull() : read(reader, length);
    };
  }
  return reader => {
    const length = reader.int32();
    return length < 0 ? onNull() : read(reader, length);
  };
}

function compileArray(element: Field, version: number, flexible: boolean, nullable: boolean): Read {
  const read = compileField(element, version, flexible);
  const minimumSize = Math.max(1, minimumBytes(element, version, flexible));
  return sized(nullable, flexible, 4, (reader, length) => {
    const count = reader.elements(length, minimumSize);
    const result: unknown[] = [];
    for (let i = 0; i < count; i++) result.push(read(reader));
    return result;
  });
}

/** The fewest bytes that a value can take on the wire. */
function minimumBytes(field: Field, version: number, flexible: boolean): number {
  const { type } = field;
  if (type.kind === 'struct') {
    if (covers(field.nullable, version)) return 1;
    let sum = flexible ? 1 : 0;
    for (const inner of Object.values(type.fields)) {
      const isTagged = inner.tag !== null && covers(inner.tagged, version);
      if (covers(inner.versions, version) && !isTagged) sum += minimumBytes(inner, version, flexible);
    }
    return sum;
  }
  if (type.kind === 'string') return flexible ? 1 : 2;
  if (type.kind === 'array' || type.kind === 'bytes' || type.kind === 'records') return flexible ? 1 : 4;
  return FIXED_BYTES[type.kind];
}

type FixedKind = Exclude<ScalarKind, 'string' | 'bytes' | 'records'>;

const FIXED: Record<FixedKind, Read> = {
  bool: reader => reader.int8() !== 0,
  int8: reader => reader.int8(),
  int16: reader => reader.int16(),
  uint16: reader => reader.uint16(),
  int32: reader => reader.int32(),
  uint32: reader => reader.uint32(),
  int64: reader => reader.int64(),
  float64: reader => reader.float64(),
  uuid: reader => reader.uuid(),
};

const FIXED_BYTES: Record<FixedKind, number> = {
  bool: 1,
  int8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  float64: 8,
  uuid: 16,
};
