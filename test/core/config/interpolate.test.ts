import { expect, test } from 'vitest';
import { interpolate, type InterpolateOptions } from '../../../core/config/interpolate.ts';
import { parseToml, type TomlDocument } from '../../../core/config/toml.ts';

function run(text: string, options: Partial<InterpolateOptions> = {}) {
  const { document } = parseToml(text, 'x.toml');
  return interpolate(document as TomlDocument, {
    mode: 'run',
    env: { NAME: 'ada', EMPTY: '', TRICKY: 'x"\ny = ${NAME} $$' },
    readFile: path => {
      if (path === '/run/secrets/pw') return 'geheim\n';
      throw new Error(`no such file: ${path}`);
    },
    ...options,
  });
}

test.each([
  ['${NAME}', 'ada'],
  ['a-${NAME}-${NAME}', 'a-ada-ada'],
  ['${UNSET:-default}', 'default'],
  ['${NAME:-default}', 'ada'],
  ['${EMPTY:-default}', 'default'],
  ['${EMPTY}', ''],
  ['${UNSET:-}', ''],
  ['${UNSET:-a:-b}', 'a:-b'],
  ['${file:/run/secrets/pw}', 'geheim'],
  ['$$', '$'],
  ['$${NAME}', '${NAME}'],
  ['$$${NAME}', '$ada'],
  ['^[0-9]+$', '^[0-9]+$'],
  ['$NAME costs 5$', '$NAME costs 5$'],
])("'%s' becomes '%s'", (text, expected) => {
  const { value, diagnostics } = run(`a = '${text}'`);
  expect(diagnostics).toEqual([]);
  expect(value).toEqual({ a: expected });
});

test('a value is never read again, as TOML or as a reference', () => {
  expect(run("a = '${TRICKY}'").value).toEqual({ a: 'x"\ny = ${NAME} $$' });
});

test('strings are replaced wherever they stand, keys and other values never', () => {
  const { value, touched } = run("list = ['${NAME}', 1, { k = '${NAME}' }]\n'${NAME}' = true\n[t]\nx = 'plain'");
  expect(value).toEqual({ list: ['ada', 1, { k: 'ada' }], '${NAME}': true, t: { x: 'plain' } });
  expect([...touched]).toEqual(['list[0]', 'list[2].k']);
});

test('an unset variable is an error in run and a warning in lint, at its place', () => {
  const found = run("x = 1\na = '${UNSET}'").diagnostics;
  expect(found).toEqual([
    {
      file: 'x.toml',
      line: 2,
      column: 5,
      endColumn: 15,
      severity: 'error',
      message: 'the environment variable `UNSET` is not set',
      help: 'set it, or give a default: `${UNSET:-...}`',
      path: 'a',
    },
  ]);
  const linted = run("a = 'x ${UNSET}'", { mode: 'lint' });
  expect(linted.diagnostics.map(each => each.severity)).toEqual(['warning']);
  expect([...linted.unresolved]).toEqual(['a']);
  expect(linted.value).toEqual({ a: 'x ${UNSET}' });
});

test.each(['${}', '${NAME', '${1A}', '${NAME-x}', '${ NAME }'])("'%s' is no reference, in lint too", text => {
  const { diagnostics } = run(`a = '${text}'`, { mode: 'lint' });
  expect(diagnostics.map(each => [each.severity, each.message])).toEqual([
    ['error', 'not a reference: write `${NAME}`, `${NAME:-default}` or `${file:/path}`'],
  ]);
});

test('a file that is not there is named', () => {
  expect(run("a = '${file:/nope}'").diagnostics[0]?.message).toBe('cannot read the file /nope: no such file: /nope');
});

test('where names are allowed one by one, others and all files are refused, defaults or not', () => {
  const { value, diagnostics } = run("a = '${NAME}'\nb = '${HOME:-x}'\nc = '${file:/run/secrets/pw}'", {
    allowEnv: ['NAME'],
  });
  expect(value['a']).toBe('ada');
  expect(diagnostics.map(each => each.message)).toEqual([
    'the variable `HOME` is not allowed here',
    '`${file:...}` is not allowed in a pipeline deployed over REST',
  ]);
});

test('parts of a file can be left alone', () => {
  const { value } = run("a = '${NAME}'\n[[test]]\nb = '${UNSET}'", { skip: path => path[0] === 'test' });
  expect(value).toEqual({ a: 'ada', test: [{ b: '${UNSET}' }] });
});
