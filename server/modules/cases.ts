import { z } from 'zod';
import { MillstreamError } from '../../core/base/errors.ts';
import { hasErrors, renderDiagnostics } from '../../core/config/diagnostic.ts';
import { parseToml } from '../../core/config/toml.ts';
import { check } from '../../core/config/zod-diagnostics.ts';
import type { NewRecord } from '../../core/engine/records.ts';
import { readTextFile } from '../read-text-file.ts';

/* `cases.toml` beside a module: config and one record, or several -> what is emitted, the dead letter, or why the config is
 * refused. */

const texts = z.record(z.string(), z.string());
const expected = z.strictObject({
  output: z.string().optional().describe('The output it leaves by.'),
  value: z.string().optional().describe('The whole value, as text.'),
  json: z.unknown().optional().describe('What the value, as JSON, must contain.'),
  key: z.string().optional(),
  headers: texts.optional().describe('These headers must be there.'),
  timestamp: z.number().optional().describe('Milliseconds since the epoch.'),
  tombstone: z.literal(true).optional().describe('The value is null.'),
});
const following = z.strictObject({
  value: z.string(),
  at: z.number().int().default(0).describe('Milliseconds behind the timestamp of the case.'),
  key: z.string().optional(),
  headers: texts.default({}),
});
const one = z.strictObject({
  name: z.string().min(1),
  config: z.record(z.string(), z.unknown()).default({}),
  outputs: z.array(z.string()).min(1).default(['default']),
  input: z.string().default('').describe('The value, as text.'),
  input_base64: z.base64().optional().describe('The value, as bytes.'),
  tombstone: z.literal(true).optional().describe('The value is null.'),
  key: z.string().optional(),
  headers: texts.default({}),
  records: z.array(following).min(1).optional().describe('Instead of one: what a module with state is given in a row.'),
  timestamp: z.number().default(1_767_225_600_000).describe('Milliseconds since the epoch; default 2026-01-01.'),
  expect: z.array(z.union([z.string(), expected])).optional(),
  fail: z.strictObject({ code: z.string(), reason: z.string().optional() }).optional(),
  refused: z.string().optional().describe('Why the module refuses the config.'),
});
const file = z.strictObject({ case: z.array(one).default([]) });

export type ModuleCase = z.output<typeof one> & { line: number };
export type Expected = z.output<typeof expected>;

/** Kind `invalid`, code BAD_CASES, with each finding's line. */
export function readCases(path: string, shown: string): ModuleCase[] {
  const text = readTextFile(path);
  const { document, diagnostics } = parseToml(text, shown);
  const checked = document ? check(file, document.value, { document }) : null;
  const found = [...diagnostics, ...(checked?.diagnostics ?? [])];
  if (!document || !checked?.data || hasErrors(found)) {
    const help = 'a case has a name, `input`, and `expect`, `fail` or `refused`';
    throw new MillstreamError(
      'invalid',
      'BAD_CASES',
      renderDiagnostics(found, () => text),
      { help },
    );
  }
  const heads = text.split('\n').flatMap((line, i) => (/^\s*\[\[\s*case\s*\]\]/.test(line) ? [i + 1] : []));
  return checked.data.case.map((each, i) => ({ ...each, line: heads[i] ?? 0 }));
}

export function recordsOf(each: ModuleCase): NewRecord[] {
  return (
    each.records?.map(({ value, at, key, headers }) => ({
      key: key === undefined ? null : Buffer.from(key),
      value: Buffer.from(value),
      headers: headersOf(headers),
      timestamp: each.timestamp + at,
    })) ?? [recordOf(each)]
  );
}

const headersOf = (headers: Record<string, string>) =>
  Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)] as const);

export function recordOf(each: ModuleCase): NewRecord {
  const value = each.input_base64 === undefined ? Buffer.from(each.input) : Buffer.from(each.input_base64, 'base64');
  return {
    key: each.key === undefined ? null : Buffer.from(each.key),
    value: each.tombstone ? null : value,
    headers: headersOf(each.headers),
    timestamp: each.timestamp,
  };
}
