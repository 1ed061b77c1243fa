import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { size } from '../../../core/base/units.ts';
import { editorSchema } from '../../../core/config/json-schema.ts';
import { parseToml } from '../../../core/config/toml.ts';

test('tables take no keys but those named, strict or not; maps take any', () => {
  const schema = z.object({
    strict: z.strictObject({ a: z.string().describe('the a') }).prefault({ a: 'x' }),
    open: z.looseObject({ b: z.string() }).optional(),
    map: z.record(z.string(), z.number().int()).default({}),
    memory: size().default(5),
  });
  expect(editorSchema(schema, 'T')).toEqual({
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'T',
    type: 'object',
    additionalProperties: false,
    properties: {
      strict: {
        type: 'object',
        additionalProperties: false,
        required: ['a'],
        properties: { a: { type: 'string', description: 'the a' } },
      },
      open: { type: 'object', additionalProperties: {}, required: ['b'], properties: { b: { type: 'string' } } },
      map: { type: 'object', propertyNames: { type: 'string' }, additionalProperties: { type: 'integer' } },
      memory: expect.objectContaining({ type: ['string', 'number'], format: 'size' }),
    },
  });
});

/** The committed schema, read back by something that did not write it. */
const committed = JSON.parse(readFileSync(new URL('../../../pipelines/pipeline.schema.json', import.meta.url), 'utf8'));
const validator = z.fromJSONSchema(committed);
const accepts = (text: string): boolean => validator.safeParse(parseToml(text, 'x').document?.value).success;
const SMALL = 'name = "x"\nsource = { topic = "t" }\n';

test("editors accept the repository's own pipeline", () => {
  const file = new URL('../../../pipelines/birdstrikes.toml', import.meta.url);
  expect(accepts(readFileSync(file, 'utf8'))).toBe(true);
});

test.each([
  [
    'a nested condition',
    '[sinks.a]\nwhen = { any = [{ not = { header = "x", exists = true } }] }\n[sinks.a.file]\npath = "p"',
    true,
  ],
  [
    'a misspelt key in a nested condition',
    '[sinks.a]\nwhen = { any = [{ not = { haeder = "x" } }] }\n[sinks.a.file]\npath = "p"',
    false,
  ],
  ['a misspelt key of a connector', '[sinks.a.file]\npaht = "p"', false],
  ['an unknown connector', '[sinks.a.nowhere]\npath = "p"', false],
  [
    'sizes and durations as text and numbers',
    '[sinks.a]\nbatch = { bytes = "1MiB", linger = 5 }\n[sinks.a.file]\npath = "p"',
    true,
  ],
  ['a duration that is none', '[sinks.a]\nbatch = { linger = "5 potatoes" }\n[sinks.a.file]\npath = "p"', false],
  ['an output as text or table', '[[step]]\nname = "s"\nmodule = "m"\n[outputs]\na = "t"\nb = { topic = "u" }', true],
  ['a step that is no list', '[step]\nname = "s"\nmodule = "m"', false],
])('the editor schema judges %s', (_, text, expected) => {
  expect(accepts(SMALL + text)).toBe(expected);
});
