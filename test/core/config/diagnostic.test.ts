import { expect, test } from 'vitest';
import { type Diagnostic, hasErrors, renderDiagnostic, sortDiagnostics } from '../../../core/config/diagnostic.ts';

const at = (line: number, column: number, more: Partial<Diagnostic> = {}): Diagnostic => ({
  file: 'bad.toml',
  line,
  column,
  severity: 'error',
  message: 'm',
  ...more,
});

test('a finding is shown with its line, the place and the fix', () => {
  const text = 'a = 1\n\n[source]\ngruop = "orders-etl"\n';
  const finding = at(4, 1, { endColumn: 6, message: 'unknown key `gruop`', help: 'did you mean `group`?' });
  expect(renderDiagnostic(finding, text)).toBe(
    [
      'bad.toml:4:1: error: unknown key `gruop`',
      '    4 | gruop = "orders-etl"',
      '      | ^^^^^ did you mean `group`?',
    ].join('\n'),
  );
});

test('marks stand under what they mean behind tabs, and end with the line', () => {
  expect(renderDiagnostic(at(1, 3, { endColumn: 99 }), '\t\tab')).toBe(
    'bad.toml:1:3: error: m\n    1 | \t\tab\n      | \t\t^^',
  );
  expect(renderDiagnostic(at(1, 5), 'x = ')).toBe('bad.toml:1:5: error: m\n    1 | x = \n      |     ^');
});

test('without the text, or outside of files, there is no frame', () => {
  expect(renderDiagnostic(at(4, 1, { help: 'h' }))).toBe('bad.toml:4:1: error: m\n  h');
  expect(renderDiagnostic(at(0, 0, { file: 'environment variable X', severity: 'warning' }), 'text')).toBe(
    'environment variable X: warning: m',
  );
});

test('findings come in the order of the file, each once', () => {
  const sorted = sortDiagnostics([at(9, 1), at(2, 5), at(2, 1), at(9, 1), at(1, 1, { file: 'a.toml' })]);
  expect(sorted.map(each => `${each.file}:${each.line}:${each.column}`)).toEqual([
    'a.toml:1:1',
    'bad.toml:2:1',
    'bad.toml:2:5',
    'bad.toml:9:1',
  ]);
});

test('warnings are no errors', () => {
  expect(hasErrors([at(1, 1, { severity: 'warning' })])).toBe(false);
  expect(hasErrors([at(1, 1, { severity: 'warning' }), at(1, 1)])).toBe(true);
});

test('control characters in names are shown, not obeyed', () => {
  expect(renderDiagnostic(at(1, 1, { message: 'unknown key `\u001b[2J\n`' }))).toBe(
    'bad.toml:1:1: error: unknown key `\\u001b[2J\\u000a`',
  );
});
