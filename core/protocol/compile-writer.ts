import { covers, type Field, type Fields, type ScalarKind } from './schema.ts';
import { unwritable, Writer } from './writer.ts';

export type WriteStruct = (writer: Writer, value: Readonly<Record<string, unknown>>) => void;
type Write = (writer: Writer, value: unknown) => void;

interface TaggedField {
  tag: number;
  name: string;
  default: unknown;
  write: Write;
}

/** Builds the writer of a struct. A field that is not given is written as its default; a tagged one then not at all. */
export function compileWriter(fields: Fields, version: number, flexible: boolean): WriteStruct {
  const names: string[] = [];
  const defaults: unknown[] = [];
  const writes: Write[] = [];
  const tagged: TaggedField[] = [];
  for (const [name, field] of Object.entries(fields)) {
    if (!covers(field.versions, version)) continue;
    const write = compileField(name, field, version, flexible);
    if (field.tag !== null && covers(field.tagged, version)) {
      tagged.push({ tag: field.tag, name, default: field.default, write });
    } else {
      names.push(name);
      defaults.push(field.default);
      writes.push(write);
    }
  }
  tagged.sort((a, b) => a.tag - b.tag);
  return (writer, value) => {
    for (let i = 0; i < writes.length; i++) {
      const given = value[names[i] as string];
      (writes[i] as Write)(writer, given === undefined ? defaults[i] : given);
    }
    if (flexible) writeTags(writer, value, tagged);
  };
}

/** Tagged fields (KIP-482): count, then { tag, size, bytes } by rising tag; those that hold their default are left out. */
function writeTags(writer: Writer, value: Readonly<Record<string, unknown>>, tagged: readonly TaggedField[]): void {
  if (tagged.length === 0) return writer.int8(0);
  const given = tagged.filter(field => value[field.name] !== undefined && !same(value[field.name], field.default));
  writer.unsigned(given.length);
  for (const field of given) {
    const content = new Writer(64);
    field.write(content, value[field.name]);
    writer.unsigned(field.tag);
    writer.unsigned(content.sizeBytes);
    writer.append(content);
  }
}

/** Is this tagged value the default? Structs are compared field by field, arrays and bytes only by being empty. */
function same(value: unknown, standard: unknown): boolean {
  if (value === standard) return true;
  if (typeof value !== 'object' || typeof standard !== 'object' || value === null || standard === null) return false;
  if (Array.isArray(value) || value instanceof Uint8Array) {
    return value.length === 0 && (standard as ArrayLike<unknown>).length === 0;
  }
  return Object.entries(standard).every(([name, one]) => {
    const other = (value as Record<string, unknown>)[name];
    return other === undefined || same(other, one);
  });
}

function compileField(name: string, field: Field, version: number, flexible: boolean): Write {
  const write = compileValue(name, field, version, flexible);
  const nullable = covers(field.nullable, version);
  const { kind } = field.type;
  if (kind === 'struct') {
    if (!nullable) return refusingNull(name, write);
    return (writer, value) => {
      writer.int8(value === null ? -1 : 1);
      if (value !== null) write(writer, value);
    };
  }
  if (kind !== 'string' && kind !== 'array' && kind !== 'bytes' && kind !== 'records') return write;
  if (!nullable) return refusingNull(name, write);
  return (writer, value) => {
    if (value !== null) write(writer, value);
    else if (flexible) writer.unsigned(0);
    else if (kind === 'string') writer.int16(-1);
    else writer.int32(-1);
  };
}

function refusingNull(name: string, write: Write): Write {
  return (writer, value) => {
    if (value === null) throw unwritable(`${name} must not be null in this version`);
    write(writer, value);
  };
}

function compileValue(name: string, field: Field, version: number, flexible: boolean): Write {
  const { type } = field;
  if (type.kind === 'struct') return compileWriter(type.fields, version, flexible) as Write;
  if (type.kind === 'array') {
    const write = compileField(name, type.element, version, flexible);
    return (writer, value) => {
      const elements = value as readonly unknown[];
      writeLength(writer, elements.length, flexible);
      for (const element of elements) write(writer, element);
    };
  }
  if (type.kind === 'string') return (writer, value) => writer.text(value as string, flexible);
  if (type.kind === 'bytes') {
    return (writer, value) => {
      writeLength(writer, (value as Uint8Array).length, flexible);
      writer.copy(value as Uint8Array);
    };
  }
  if (type.kind === 'records') {
    return (writer, value) => {
      const pieces = value instanceof Uint8Array ? [value] : (value as readonly Uint8Array[]);
      let length = 0;
      for (const piece of pieces) length += piece.length;
      writeLength(writer, length, flexible);
      for (const piece of pieces) writer.pass(piece);
    };
  }
  return FIXED[type.kind];
}

function writeLength(writer: Writer, length: number, flexible: boolean): void {
  if (flexible) writer.unsigned(length + 1);
  else writer.int32(length);
}

const FIXED: Record<Exclude<ScalarKind, 'string' | 'bytes' | 'records'>, Write> = {
  bool: (writer, value) => writer.int8(value === true ? 1 : 0),
  int8: (writer, value) => writer.int8(value as number),
  int16: (writer, value) => writer.int16(value as number),
  uint16: (writer, value) => writer.uint16(value as number),
  int32: (writer, value) => writer.int32(value as number),
  uint32: (writer, value) => writer.uint32(value as number),
  int64: (writer, value) => writer.int64(value as number),
  float64: (writer, value) => writer.float64(value as number),
  uuid: (writer, value) => writer.uuid(value as string),
};
