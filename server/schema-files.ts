import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { MillstreamError } from '../core/base/errors.ts';
import type { RegisteredSchema } from '../etl/abi/schema-registry.ts';

/*
 * `[schemas] dir`: what modules are told that ask a schema registry, until there is one.
 *
 *   DIR/SUBJECT/v2.id7.avsc              version 2 of the subject, id 7; .avsc Avro, .proto Protobuf, .json JSON Schema
 *   DIR/SUBJECT/v2.id7.references.json   [{ "name", "subject", "version" }], as the registry's own API writes them
 */

const FILE = /^v(\d{1,9})\.id(\d{1,9})\.(avsc|proto|json)$/;
const TYPES = { avsc: 'avro', proto: 'protobuf', json: 'json' } as const;
const REFERENCES = '.references.json';
const references = z.array(z.object({ name: z.string(), subject: z.string(), version: z.number().int().min(1) }));

/** All schemas of a folder. Kind `invalid`, code BAD_SCHEMA, with the file that is wrong; a folder that is not there too. */
export function readSchemas(directory: string): RegisteredSchema[] {
  if (!existsSync(directory)) throw bad(`${directory}: there is no such folder; schemas.dir names it`);
  const found: RegisteredSchema[] = [];
  const ids = new Map<number, string>();
  const subjects = readdirSync(directory, { withFileTypes: true }).filter(entry => entry.isDirectory());
  for (const { name: subject } of subjects) {
    const folder = join(directory, subject);
    for (const name of readdirSync(folder).toSorted()) {
      if (name.endsWith(REFERENCES)) continue;
      const file = join(folder, name);
      const schema = readOne(folder, name, subject);
      const twin = found.find(each => each.subject === subject && each.version === schema.version);
      if (twin) throw bad(`${file}: the subject has a version ${schema.version} already`);
      const other = ids.get(schema.id);
      // One schema may stand below several subjects; one id never stands for two schemas.
      if (other !== undefined && other !== schema.text) throw bad(`${file}: another schema has the id ${schema.id}`);
      ids.set(schema.id, schema.text);
      found.push(schema);
    }
  }
  return found;
}

function readOne(folder: string, name: string, subject: string): RegisteredSchema {
  const [, version, id, extension] = FILE.exec(name) ?? [];
  const file = join(folder, name);
  if (extension === undefined) throw bad(`${file}: a schema's file is named like v1.id7.avsc (.avsc, .proto or .json)`);
  const type = TYPES[extension as keyof typeof TYPES];
  const text = readFileSync(file, 'utf8');
  if (type !== 'protobuf') parse(file, text);
  const beside = join(folder, `v${version}.id${id}${REFERENCES}`);
  const refers = existsSync(beside) ? references.safeParse(parse(beside, readFileSync(beside, 'utf8'))) : null;
  if (refers && !refers.success) throw bad(`${beside}: it must be a list of { "name", "subject", "version" }`);
  return { id: Number(id), subject, version: Number(version), type, text, references: refers?.data ?? [] };
}

function parse(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw bad(`${file}: it is no JSON: ${(error as Error).message}`);
  }
}

function bad(message: string): MillstreamError {
  return new MillstreamError('invalid', 'BAD_SCHEMA', message);
}
