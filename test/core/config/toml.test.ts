import { parse as smolParse } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import { dotted, parseToml, type Path, type TomlDocument } from '../../../core/config/toml.ts';

function read(text: string): TomlDocument {
  const { document, diagnostics } = parseToml(text, 'x.toml');
  expect(diagnostics).toEqual([]);
  return document as TomlDocument;
}

const DOCUMENTS: Record<string, string> = {
  'tables and dotted keys': 'a.b.c = 1\na.d = 2\n[t]\nx = 1\n[t.u.v]\ny = 2\n[t.u]\nz = 3\n',
  'a table below a dotted key': '[f]\na.b = 1\n[f.a.x]\nc = 1\n',
  'a super table after its child': '[a.b]\nx = 1\n[a]\ny = 2\n',
  'arrays of tables with tables in them':
    '[[p]]\nn = 1\n[p.q]\nx = 1\n[[p]]\nn = 2\n[[p.r]]\ny = 1\n[[p.r]]\ny = 2\n[p.q]\nx = 2\n',
  'inline tables and arrays': 'a = { b = { c = [1, { d = 2 }, [3, 4]] }, "e.f" = 5, g.h = 6 }\nb = []\nc = {}\n',
  'quoted and empty keys': '"a b" = 1\n\'c.d\' = 2\n"" = 3\n[x."y.z"]\nw = 4\n',
  strings: "a = \"t\\tn\\n\\u00e9\\U0001F600\"\nb = 'raw\\n'\nc = \"\"\"\nfirst \\\n   second\"\"\"\nd = '''\nx'y'''\n",
  numbers: 'a = 1_000\nb = -0x1\nb2 = 0xff\nc = 0o17\nd = 0b101\ne = 1e3\nf = -2.5E-2\n'.replace('b = -0x1\n', ''),
  'special numbers': 'a = inf\nb = -inf\n',
  'names that objects know': '__proto__ = 1\nconstructor = 2\ntoString = { hasOwnProperty = 3 }\n',
};

describe('values', () => {
  test.each(Object.entries(DOCUMENTS))('%s are what another parser reads', (_, text) => {
    const ours = read(text).value;
    expect(JSON.stringify(ours)).toBe(JSON.stringify(smolParse(text)));
    expect(Object.keys(ours)).toEqual(Object.keys(smolParse(text)));
  });

  test('integers beyond 2^53 are bigint, all others numbers', () => {
    const { value } = read('a = 9007199254740991\nb = 9007199254740993\nc = -9223372036854775808');
    expect(value).toEqual({ a: 9007199254740991, b: 9007199254740993n, c: -9223372036854775808n });
  });

  test('dates and times are their text', () => {
    const { value } = read('a = 1979-05-27 07:32:00z\nb = 1979-05-27T00:32:00.999-07:00\nc = 1979-05-27\nd = 07:32:00');
    expect(value).toEqual({
      a: '1979-05-27T07:32:00Z',
      b: '1979-05-27T00:32:00.999-07:00',
      c: '1979-05-27',
      d: '07:32:00',
    });
  });

  test('a key named __proto__ is a key', () => {
    const { value } = read('[__proto__]\npolluted = true\n[a.__proto__]\npolluted = true');
    expect(Object.keys(value)).toEqual(['__proto__', 'a']);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe('errors', () => {
  test.each([
    ['a = 1\na = 2', 2, 1, '`a` is defined a second time'],
    ['[a]\nb = 1\n[a]', 3, 2, '`a` is defined a second time'],
    ['a.b = 1\n[a]\nc = 1', 2, 2, '`a` is defined a second time'],
    ['a = { b = 1 }\na.c = 2', 2, 1, '`a` is defined a second time'],
    ['[[a]]\n[a]', 2, 2, '`a` is defined a second time'],
    ['a = [1]\n[[a]]', 2, 3, '`a` is defined a second time'],
    ['a = 1\na.b = 2', 2, 1, '`a` is defined a second time'],
    ['x = ', 1, 5, 'not valid TOML: unspecified values are invalid'],
    ['x = "abc', 1, 9, 'not valid TOML: unterminated string constant'],
    ['[a\nb = 1', 2, 1, 'not valid TOML: the key, equals sign, and value must be on the same line'],
  ])('%j is refused with its place', (text, line, column, message) => {
    const { document, diagnostics } = parseToml(text, 'x.toml');
    expect(document).toBeNull();
    expect(diagnostics).toEqual([
      expect.objectContaining({ file: 'x.toml', line, column, severity: 'error', message }),
    ]);
  });
});

test('whatever the text, there is a document or a finding, and both parsers agree on which', () => {
  const random = seededRandom(7);
  const pick = (length: number): number => Math.floor(random.float() * length);
  const texts = Object.values(DOCUMENTS);
  // No line breaks and commas: TOML 1.1, which the other one reads, allows more of them.
  const pieces = ['[', ']', '[[', '{', '}', '"', "'", '=', '.', ' ', '#', 'a', '1', '"""', '\\', '\u0001', '😀'];
  const differ: string[] = [];
  for (let i = 0; i < 2000; i++) {
    let text = texts[pick(texts.length)] as string;
    for (let n = pick(3); n >= 0; n--) {
      const at = pick(text.length);
      text = text.slice(0, at) + (pieces[pick(pieces.length)] as string) + text.slice(at + pick(3));
    }
    const { document, diagnostics } = parseToml(text, 'x.toml');
    expect(document === null).toBe(diagnostics.length > 0);
    let theirs: unknown = null;
    try {
      theirs = smolParse(text);
    } catch {
      // Not TOML for them.
    }
    if (JSON.stringify(document?.value ?? null) !== JSON.stringify(theirs)) differ.push(text);
  }
  expect(differ).toEqual([]);
});

test.each([
  ['lists', (n: number) => `a = ${'['.repeat(n)}${']'.repeat(n)}`],
  ['inline tables', (n: number) => `a = ${'{ b = '.repeat(n)}1${' }'.repeat(n)}`],
  ['dotted keys', (n: number) => `a${'.b'.repeat(n)} = 1`],
  ['table headers', (n: number) => `[a${'.b'.repeat(n)}]`],
])('%s that are nested too deeply are a finding too', (_, nested) => {
  expect(parseToml(nested(90), 'x.toml').diagnostics).toEqual([]);
  for (const depth of [200, 5_000]) {
    const { document, diagnostics } = parseToml(nested(depth), 'x.toml');
    expect(document).toBeNull();
    expect(diagnostics.map(each => each.message)).toEqual(['lists or tables are nested too deeply']);
  }
});

describe('positions', () => {
  const document = read(
    [
      'name = "x"',
      '',
      '[source]',
      '  topic = "orders"',
      '[[step]]',
      'limits = { time = "5s" }',
      '[[step]]',
      'list = ["a",',
      '  "b"]',
      '[sinks.lake.file]',
      'a."b.c" = """',
      'long"""',
    ].join('\n'),
  );
  test.each<[Path, string, string]>([
    [['name'], '1:1-5', '1:8-11'],
    [['source'], '3:2-8', '3:2-8'],
    [['source', 'topic'], '4:3-8', '4:11-19'],
    [['step', 0], '5:3-7', '5:3-7'],
    [['step', 0, 'limits', 'time'], '6:12-16', '6:19-23'],
    [['step', 1], '7:3-7', '7:3-7'],
    [['step', 1, 'list', 1], '9:3-6', '9:3-6'],
    [['sinks', 'lake'], '10:8-12', '10:8-12'],
    [['sinks', 'lake', 'file'], '10:13-17', '10:13-17'],
    [['sinks', 'lake', 'file', 'a', 'b.c'], '11:3-8', `11:11-${Number.MAX_SAFE_INTEGER}`],
    [['sinks', 'lake', 'file', 'missing', 'deep'], '10:13-17', '10:13-17'],
    [['nowhere'], '1:1-2', '1:1-2'],
  ])('%j', (path, key, value) => {
    const show = (span: { line: number; column: number; endColumn: number }): string =>
      `${span.line}:${span.column}-${span.endColumn}`;
    expect([show(document.keyAt(path)), show(document.valueAt(path))]).toEqual([key, value]);
  });

  test('a document knows which keys stand in it', () => {
    expect(document.has(['sinks', 'lake', 'file'])).toBe(true);
    expect(document.has(['sinks', 'lake', 'gcs'])).toBe(false);
    expect(document.has([])).toBe(true);
  });

  test('carriage returns do not move lines', () => {
    expect(read('a = 1\r\n\r\nb = 2\r\n').keyAt(['b'])).toEqual({ line: 3, column: 1, endColumn: 2 });
  });
});

test('paths are written as in TOML', () => {
  expect(dotted(['sinks', 'fraud-desk', 'file'])).toBe('sinks.fraud-desk.file');
  expect(dotted(['step', 0, 'config', 'a.b'])).toBe('step[0].config."a.b"');
});
