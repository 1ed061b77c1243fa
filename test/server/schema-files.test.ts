import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readSchemas } from '../../server/schema-files.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millstream-schemas-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

test('a schema has its subject from its folder, version, id and type from its name, references from beside it', () => {
  write({
    'orders-value/v1.id7.avsc': '{"type":"string"}',
    'orders-value/v2.id9.proto': 'syntax = "proto3";',
    'orders-value/v2.id9.references.json': '[{"name":"common.proto","subject":"common","version":3}]',
    'keys/v1.id7.avsc': '{"type":"string"}',
    'events/v12.id300.json': '{}',
  });
  expect(readSchemas(folder).toSorted((a, b) => a.subject.localeCompare(b.subject) || a.version - b.version)).toEqual([
    { id: 300, subject: 'events', version: 12, type: 'json', text: '{}', references: [] },
    { id: 7, subject: 'keys', version: 1, type: 'avro', text: '{"type":"string"}', references: [] },
    { id: 7, subject: 'orders-value', version: 1, type: 'avro', text: '{"type":"string"}', references: [] },
    {
      id: 9,
      subject: 'orders-value',
      version: 2,
      type: 'protobuf',
      text: 'syntax = "proto3";',
      references: [{ name: 'common.proto', subject: 'common', version: 3 }],
    },
  ]);
});

test.each([
  ['a name that says nothing', { 's/orders.avsc': '{}' }, /orders\.avsc: a schema's file is named like v1\.id7\.avsc/],
  [
    'two files for one version',
    { 's/v1.id1.avsc': '{}', 's/v1.id2.avsc': '{}' },
    /v1\.id2\.avsc: .* version 1 already/,
  ],
  ['one id for two schemas', { 's/v1.id1.avsc': '{}', 't/v1.id1.avsc': '[]' }, /another schema has the id 1/],
  ['a schema that is no JSON', { 's/v1.id1.avsc': '{' }, /v1\.id1\.avsc: it is no JSON/],
  ['references that are none', { 's/v1.id1.proto': '', 's/v1.id1.references.json': '{}' }, /it must be a list/],
])('%s is told with the file', (_what, files, says) => {
  write(files);
  expect(() => readSchemas(folder)).toThrow(says);
});

test('a folder that is not there is an error', () => {
  expect(() => readSchemas(join(folder, 'none'))).toThrow(/none: there is no such folder/);
});
