import { z } from 'zod';

/** The `[[test]]` cases of a pipeline file. */

/** A table of texts whose keys may have dots: unquoted ones make nested tables in TOML, which is never meant. */
function texts(what: string): z.ZodType<Record<string, string>> {
  return z
    .record(z.string(), z.unknown())
    .superRefine((table, context) => {
      for (const [key, value] of Object.entries(table)) {
        if (typeof value === 'string') continue;
        const unquoted = firstLeaf(key, value);
        context.addIssue({
          code: 'custom',
          path: [key],
          message: unquoted ? 'the dots of an unquoted key make tables of it' : `expected ${what}`,
          ...(unquoted ? { params: { help: `write it in quotes: "${unquoted}" = ...` } } : {}),
        });
      }
    })
    .transform(table => table as Record<string, string>)
    .meta({ type: 'object', additionalProperties: { type: 'string' } });
}

function firstLeaf(key: string, value: unknown): string | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const [name, inner] = Object.entries(value)[0] ?? [];
  if (name === undefined) return null;
  return firstLeaf(`${key}.${name}`, inner) ?? `${key}.${name}`;
}

const regularExpressions = texts('a regular expression as text').superRefine((table, context) => {
  for (const [key, pattern] of Object.entries(table)) {
    try {
      RegExp(pattern, 'u');
    } catch (error) {
      context.addIssue({
        code: 'custom',
        path: [key],
        message: error instanceof Error ? error.message : String(error),
      });
    }
  }
});

const timestamp = z
  .unknown()
  .transform((given, context) => {
    const value = typeof given === 'number' ? given : typeof given === 'string' ? Date.parse(given) : Number.NaN;
    if (Number.isSafeInteger(value)) return value;
    context.addIssue({ code: 'custom', message: 'expected milliseconds, or a time such as "2026-11-21T10:00:00Z"' });
    return z.NEVER;
  })
  .meta({ type: ['integer', 'string'] });

/** JSON as text must be JSON; anything else is a TOML value that becomes JSON. */
const expectedJson = z.unknown().superRefine((value, context) => {
  if (typeof value !== 'string') return;
  try {
    JSON.parse(value);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    context.addIssue({ code: 'custom', message: `not JSON: ${reason}` });
  }
});

const CONTENTS = ['json', 'text', 'base64', 'tombstone'] as const;

const input = z
  .strictObject({
    key: z.string().optional().describe('The record key, as text.'),
    json: z.unknown().optional().describe('The value: JSON as text (taken byte for byte), or a table.'),
    text: z.string().optional().describe('The value, as text.'),
    base64: z.base64().optional().describe('The value, as bytes.'),
    tombstone: z.literal(true).optional().describe('The value is null.'),
    headers: texts("a header's text").optional(),
    timestamp: timestamp.optional().describe('Default 2026-01-01T00:00:00Z, so that results do not hang on the clock.'),
  })
  .superRefine((record, context) => {
    const given = CONTENTS.filter(name => record[name] !== undefined);
    if (given.length === 1) return;
    const message = given.length === 0 ? 'the record has no value' : 'the record has more than one value';
    context.addIssue({
      code: 'custom',
      message,
      params: { help: 'give one of `json`, `text`, `base64`, `tombstone = true`' },
    });
  });

const EXPECTATIONS = ['sinks', 'outputs', 'json', 'absent', 'matches', 'headers', 'count', 'dead_letter'] as const;

const expectation = z
  .strictObject({
    sinks: z.array(z.string()).optional().describe('The records meant reach exactly these sinks; [] = none.'),
    outputs: z.array(z.string()).optional().describe('Look only at the records on these outputs; each must have one.'),
    json: expectedJson.optional().describe('The value contains this: a table, or JSON as text.'),
    absent: z.array(z.string()).optional().describe('Paths such as "customer.email" that the value does not have.'),
    matches: regularExpressions.optional().describe('Regular expressions by path, such as "customer.email".'),
    headers: texts("a header's text").optional().describe('Headers with exactly this text.'),
    count: z.number().int().min(0).optional().describe('So many records are meant; left out: at least one.'),
    dead_letter: z
      .strictObject({ step: z.string().optional(), code: z.string().optional() })
      .optional()
      .describe('The record becomes a dead letter, in this step and with this code.'),
  })
  .superRefine((given, context) => {
    if (EXPECTATIONS.some(name => given[name] !== undefined)) return;
    context.addIssue({ code: 'custom', message: `expects nothing: give one of ${EXPECTATIONS.join(', ')}` });
  });

export const testSchema = z.strictObject({
  name: z.string().min(1).describe('What the case shows, as a sentence.'),
  env: texts('text').default({}).describe('The environment of this case; the process has no say in it.'),
  input,
  expect: z.array(expectation).min(1),
});
export type TestInput = z.output<typeof testSchema>;
