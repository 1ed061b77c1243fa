import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { size } from '../../../core/base/units.ts';
import { renderDiagnostic } from '../../../core/config/diagnostic.ts';
import { parseToml, type TomlDocument } from '../../../core/config/toml.ts';
import { check, type CheckOptions } from '../../../core/config/zod-diagnostics.ts';

const schema = z.object({
  name: z.string().min(1),
  mode: z.enum(['fast', 'slow']).default('fast'),
  port: z.number().int().min(1).max(65535).optional(),
  on: z.boolean().optional(),
  hosts: z.array(z.string()).min(1).optional(),
  memory: size().optional(),
  either: z.union([z.string(), z.strictObject({ topic: z.string(), count: z.number().optional() })]).optional(),
  table: z.object({ inner: z.string() }).optional(),
  free: z.record(z.string().regex(/^[a-z]+$/, 'only small letters'), z.unknown()).optional(),
});

function run(text: string, options: Partial<CheckOptions> = {}) {
  const document = parseToml(text, 'x.toml').document as TomlDocument;
  const { data, diagnostics } = check(schema, document.value, { document, ...options });
  return {
    data,
    shown: diagnostics.map(each => `${each.line}:${each.column} ${each.message}${each.help ? ` (${each.help})` : ''}`),
  };
}

test('a good file gives its value with defaults', () => {
  expect(run('name = "x"\nmemory = "1KiB"')).toEqual({ data: { name: 'x', mode: 'fast', memory: 1024 }, shown: [] });
});

test.each([
  ['nmae = "x"', ['1:1 unknown key `nmae` (did you mean `name`?)']],
  ['', ['1:1 `name` is missing']],
  ['name = ""', ['1:8 `name`: must not be empty']],
  ['name = 5', ['1:8 `name`: expected a string, found a number']],
  ['name = "x"\nmode = "fats"', ['2:8 `mode`: expected one of "fast", "slow" (did you mean "fast"?)']],
  ['name = "x"\nport = 1.5', ['2:8 `port`: expected a whole number']],
  ['name = "x"\nport = 99999999999999999999', ['2:8 `port`: expected a whole number']],
  ['name = "x"\nport = 70000', ['2:8 `port`: must be at most 65535']],
  ['name = "x"\nhosts = []', ['2:9 `hosts`: must have at least 1 entry']],
  ['name = "x"\nhosts = ["a", 5]', ['2:15 `hosts[1]`: expected a string, found a number']],
  ['name = "x"\nmemory = "64 potatoes"', ['2:10 `memory`: expected a size such as "64MiB" or "500KB"']],
  ['name = "x"\n[table]', ['2:2 `table.inner` is missing']],
  ['name = "x"\n[table]\ninner = "y"\nouter = 1', ['4:1 unknown key `outer` (there are: `inner`)']],
  ['name = "x"\neither = 5', ['2:10 `either`: expected a string or a table, found a number']],
  ['name = "x"\neither = { topic = 5 }', ['2:20 `either.topic`: expected a string, found a number']],
  ['name = "x"\neither = { topic = "t", cuont = 5 }', ['2:25 unknown key `cuont` (did you mean `count`?)']],
  ['name = "x"\n[free]\nBAD = 1', ['3:1 `free.BAD`: only small letters']],
])('%j is explained', (text, expected) => {
  expect(run(text)).toEqual({ data: null, shown: expected });
});

describe('values from variables', () => {
  test('are converted to the declared type', () => {
    const touched = new Set(['port', 'on', 'hosts']);
    const { data } = run('name = "x"\nport = "8080"\non = "TRUE"\nhosts = "a, b"', { touched });
    expect(data).toMatchObject({ port: 8080, on: true, hosts: ['a', 'b'] });
  });

  test('are not converted when they were written as text, or are no such value', () => {
    expect(run('name = "x"\nport = "8080"').shown).toEqual(['2:8 `port`: expected a number, found a string']);
    expect(run('name = "x"\nport = "80a"', { touched: new Set(['port']) }).shown).toEqual([
      '2:8 `port`: expected a number, found a string',
    ]);
  });

  test('that are not known are not judged, and neither is what holds them', () => {
    const text = 'name = "x"\nport = "${P}"\n[either]\ntopic = "${T}"';
    expect(run(text, { unresolved: new Set(['port', 'either.topic']) })).toEqual({ data: null, shown: [] });
  });
});

test('values never stand in messages: they may be secrets', () => {
  const document = parseToml('name = "x"\nport = "${SECRET}"', 'x.toml').document as TomlDocument;
  const value = { name: 'x', port: 'geheim' };
  const { diagnostics } = check(schema, value, { document, touched: new Set(['port']) });
  const shown = diagnostics.map(each => renderDiagnostic(each, document.text)).join('\n');
  expect(shown).toContain('expected a number');
  expect(shown).not.toContain('geheim');
});
