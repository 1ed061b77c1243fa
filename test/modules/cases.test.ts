import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { type Emitted, Guest, recordOf, textOf } from '../sdk/harness.ts';

/*
 * `modules/<name>/cases.toml`: config and input -> what is emitted (a value, or a table with what is to be compared),
 * `fail` (a dead letter), or `refused` (the config).
 */
interface Expected {
  output?: string;
  value?: string;
  headers?: Record<string, string>;
}
interface Case {
  name: string;
  config?: unknown;
  outputs?: string[];
  input?: string;
  headers?: Record<string, string>;
  expect?: (string | Expected)[];
  fail?: { code: string; reason?: string };
  refused?: string;
}

const modules = fileURLToPath(new URL('../../modules', import.meta.url));

for (const name of readdirSync(modules, { withFileTypes: true }).flatMap(e => (e.isDirectory() ? [e.name] : []))) {
  const manifest = parse(readFileSync(join(modules, name, 'module.toml'), 'utf8'));
  const wasm = readFileSync(join(modules, name, manifest['file'] as string));
  const { case: cases } = parse(readFileSync(join(modules, name, 'cases.toml'), 'utf8')) as unknown as { case: Case[] };

  describe(`module ${name}`, () => {
    it.each(cases)('$name', one => {
      const guest = new Guest(wasm);
      const outputs = one.outputs ?? ['default'];
      const ready = guest.init(one.config ?? {}, outputs);
      if (one.refused !== undefined) {
        expect(ready).not.toBe(0);
        expect(guest.failures).toEqual([{ index: -1, code: 'INVALID_CONFIG', text: one.refused }]);
        return;
      }
      expect(guest.failures).toEqual([]);
      expect(ready).toBe(0);
      const headers = Object.entries(one.headers ?? {}).map(([key, value]) => [key, Buffer.from(value)] as const);
      const emitted = guest.process([recordOf(one.input ?? '', { headers })]);
      const { fail } = one;
      if (fail)
        expect(guest.failures).toEqual([{ index: 0, code: fail.code, text: fail.reason ?? expect.any(String) }]);
      else expect(guest.failures).toEqual([]);
      const wanted = one.expect ?? [];
      expect(emitted.map((record, i) => pick(record, outputs, wanted[i]))).toEqual(wanted);
    });
  });
}

/** What the case says something about. */
function pick(record: Emitted, outputs: string[], wanted: string | Expected | undefined): string | Expected | null {
  if (typeof wanted !== 'object') return textOf(record);
  const picked: Expected = {};
  if (wanted.output !== undefined) picked.output = outputs[record.route] ?? String(record.route);
  if (wanted.value !== undefined) picked.value = textOf(record) ?? '';
  if (wanted.headers) {
    picked.headers = Object.fromEntries(
      record.headers.map(([key, value]) => [key, value === null ? '' : Buffer.from(value).toString()]),
    );
  }
  return picked;
}
