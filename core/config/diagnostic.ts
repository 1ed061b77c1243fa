/** One finding in a configuration file. Lines and columns count from 1; `endColumn` is the one behind the last. What
 * does not come from a file (an environment variable) has line 0, and `file` says what it is. */
export interface Diagnostic {
  file: string;
  line: number;
  column: number;
  endColumn?: number;
  severity: 'error' | 'warning';
  /** One sentence without a full stop; keys stand in backquotes. */
  message: string;
  /** What to do about it. */
  help?: string;
  /** Dotted path of the key concerned, e.g. `sinks.lake.file.path`; absent for syntax errors. */
  path?: string;
}

export function hasErrors(diagnostics: readonly Diagnostic[]): boolean {
  return diagnostics.some(each => each.severity === 'error');
}

/** In the order of the file, the same finding once. */
export function sortDiagnostics(diagnostics: readonly Diagnostic[]): Diagnostic[] {
  const seen = new Set<string>();
  return diagnostics
    .filter(each => {
      const key = `${each.file}:${each.line}:${each.column}:${each.message}`;
      if (seen.has(key)) return false;
      seen.add(key);
      return true;
    })
    .toSorted((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line || a.column - b.column));
}

/**
 * One finding with its code frame:
 *
 *   orders.toml:9:1: error: unknown key `gruop`
 *       9 | gruop = "orders-etl"
 *         | ^^^^^ did you mean `group`?
 *
 * `text` is the file's text; without it (or past its end) only the first line is given.
 */
export function renderDiagnostic(diagnostic: Diagnostic, text?: string): string {
  const { file, line, column, severity } = diagnostic;
  const message = printable(diagnostic.message);
  const help = diagnostic.help === undefined ? undefined : printable(diagnostic.help);
  const head = `${file}${line > 0 ? `:${line}:${column}` : ''}: ${severity}: ${message}`;
  const source = text?.split(/\r?\n/)[line - 1];
  if (source === undefined) return help ? `${head}\n  ${help}` : head;
  const number = String(line).padStart(5);
  // A tab stays a tab, so that the marks stand under what they mean.
  const indent = source.slice(0, column - 1).replace(/[^\t]/g, ' ');
  const end = Math.min(diagnostic.endColumn ?? column + 1, source.length + 1);
  const marks = '^'.repeat(Math.max(1, end - column));
  return `${head}\n${number} | ${source}\n      | ${indent}${marks}${help ? ` ${help}` : ''}`;
}

/** Quoted TOML keys may hold control characters: a terminal must not obey them. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

export function renderDiagnostics(
  diagnostics: readonly Diagnostic[],
  textOf: (file: string) => string | undefined,
): string {
  return diagnostics.map(each => renderDiagnostic(each, textOf(each.file))).join('\n');
}
