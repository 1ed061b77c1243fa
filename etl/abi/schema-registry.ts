import { type Cursor, readVarint, varintSize, writeVarint } from '../../core/base/varint.ts';
import type { GuestMemory } from './guest-memory.ts';
import { sized } from './redpanda-payload.ts';

/*
 * The schema registry that Redpanda transforms may ask (`redpanda_schema_registry`, ABI 0), answered from a fixed table.
 * All numbers are zigzag varints, texts stand behind their length:
 *   schema   = type (0 Avro, 1 Protobuf, 2 JSON), text, reference count, { name, subject, version }*
 *   answer to a subject = id, version, schema
 * Functions return 0 or how many bytes they wrote; -1 there is no registry, -2 there is no such schema.
 */

export const REGISTRY = 'redpanda_schema_registry';

export const REGISTRY_IMPORTS: Readonly<Record<string, string>> = {
  check_abi_version_0: ' -> ',
  get_schema_definition_len: 'i32 i32 -> i32',
  get_schema_definition: 'i32 i32 i32 -> i32',
  get_subject_schema_len: 'i32 i32 i32 i32 -> i32',
  get_subject_schema: 'i32 i32 i32 i32 i32 -> i32',
  create_subject_schema: 'i32 i32 i32 i32 i32 -> i32',
};

const SUCCESS = 0;
const NOT_ENABLED = -1;
const NOT_FOUND = -2;
const LATEST = -1;
const TYPES = ['avro', 'protobuf', 'json'] as const;

export interface RegisteredSchema {
  id: number;
  subject: string;
  version: number;
  type: (typeof TYPES)[number];
  text: string;
  references: readonly { name: string; subject: string; version: number }[];
}

/** All schemas that there are; null: there is no registry. */
export class SchemaTable {
  readonly enabled: boolean;
  private readonly schemas: readonly RegisteredSchema[];

  constructor(schemas: readonly RegisteredSchema[] | null) {
    this.enabled = schemas !== null;
    this.schemas = schemas ?? [];
  }

  byId(id: number): Uint8Array | null {
    const found = this.schemas.find(schema => schema.id === id);
    return found ? encode(found) : null;
  }

  bySubject(subject: string, version: number): Uint8Array | null {
    const found = this.schemas
      .filter(schema => schema.subject === subject && (version === LATEST || schema.version === version))
      .toSorted((a, b) => b.version - a.version)[0];
    if (!found) return null;
    const schema = encode(found);
    const head = new Uint8Array(varintSize(found.id) + varintSize(found.version));
    writeVarint(head, writeVarint(head, 0, found.id), found.version);
    return Buffer.concat([head, schema]);
  }

  /** The table is fixed: a schema can be registered that is there already. Returns its id, or null. */
  register(subject: string, encoded: Uint8Array): number | null {
    const wanted = decode(encoded);
    if (!wanted) return null;
    const found = this.schemas.find(
      schema =>
        schema.subject === subject &&
        schema.type === wanted.type &&
        schema.text === wanted.text &&
        JSON.stringify(schema.references) === JSON.stringify(wanted.references),
    );
    return found?.id ?? null;
  }
}

export function registryImports(
  memory: GuestMemory,
  table: SchemaTable,
): Record<string, (...args: number[]) => number | void> {
  const length = (answer: Uint8Array | null, out: number): number => {
    if (!table.enabled) return NOT_ENABLED;
    if (!answer) return NOT_FOUND;
    memory.setU32(out, answer.length);
    return SUCCESS;
  };
  const copy = (answer: Uint8Array | null, buffer: number, room: number): number => {
    if (!table.enabled) return NOT_ENABLED;
    if (!answer || answer.length > room >>> 0) return NOT_FOUND;
    memory.at(buffer, answer.length).set(answer);
    return answer.length;
  };
  const subject = (pointer: number, size: number, version: number): Uint8Array | null =>
    table.bySubject(memory.text(pointer, size), version);
  const imports = {
    check_abi_version_0: () => {},
    get_schema_definition_len: (id: number, out: number) => length(table.byId(id), out),
    get_schema_definition: (id: number, buffer: number, room: number) => copy(table.byId(id), buffer, room),
    get_subject_schema_len: (pointer: number, size: number, version: number, out: number) =>
      length(subject(pointer, size, version), out),
    get_subject_schema: (pointer: number, size: number, version: number, buffer: number, room: number) =>
      copy(subject(pointer, size, version), buffer, room),
    create_subject_schema: (pointer: number, size: number, buffer: number, room: number, out: number) => {
      if (!table.enabled) return NOT_ENABLED;
      const id = table.register(memory.text(pointer, size), memory.at(buffer, room));
      if (id === null) return NOT_FOUND;
      memory.setU32(out, id);
      return SUCCESS;
    },
  };
  return imports;
}

function encode({ type, text, references }: RegisteredSchema): Uint8Array {
  const parts: Uint8Array[] = [];
  const number = (value: number): void => {
    const bytes = new Uint8Array(varintSize(value));
    writeVarint(bytes, 0, value);
    parts.push(bytes);
  };
  const words = (value: string): void => {
    const bytes = Buffer.from(value);
    number(bytes.length);
    parts.push(bytes);
  };
  number(TYPES.indexOf(type));
  words(text);
  number(references.length);
  for (const reference of references) {
    words(reference.name);
    words(reference.subject);
    number(reference.version);
  }
  return Buffer.concat(parts);
}

function decode(bytes: Uint8Array): Pick<RegisteredSchema, 'type' | 'text' | 'references'> | null {
  const at: Cursor = { offset: 0 };
  const words = (): string => Buffer.from(sized(bytes, at) ?? []).toString();
  try {
    const type = TYPES[readVarint(bytes, at)];
    const text = words();
    const count = readVarint(bytes, at);
    if (!type || count > bytes.length) return null;
    const references: { name: string; subject: string; version: number }[] = [];
    for (let i = 0; i < count; i++)
      references.push({ name: words(), subject: words(), version: readVarint(bytes, at) });
    return { type, text, references };
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}
