import type { Diagnostic } from './diagnostic.ts';
import { diagnosticAt } from './diagnostic-at.ts';
import { dotted, type Path, type TomlDocument, type TomlTable, type TomlValue } from './toml.ts';

/*
 * `${VAR}`, `${VAR:-default}` (also when VAR is set but empty, as in a shell), `${file:/path}` (its text without the
 * last line break) and `$$` for a dollar sign. Only in string values, and only after parsing: what a variable holds can
 * never become TOML syntax. Any other `$` stays as it is.
 */
const REFERENCE = /\$\$|\$\{([^}]*)\}|\$\{/g;
const VARIABLE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

export interface InterpolateOptions {
  /** `run`: an unset variable without default is an error; `lint`: a warning. */
  mode: 'run' | 'lint';
  env: Readonly<Record<string, string | undefined>>;
  /** Throws when the file cannot be read. */
  readFile: (path: string) => string;
  /** Names that may be used; null: all. With a list, `${file:...}` is refused too: what comes over the network must
   * not read this machine's files. */
  allowEnv?: readonly string[] | null;
  /** Parts of the file that are left alone. */
  skip?: (path: Path) => boolean;
}

export interface Interpolated {
  value: TomlTable;
  /** Paths (dotted) of strings that held a reference: they may be converted to the declared type. */
  touched: Set<string>;
  /** Of those, the ones that could not be resolved; they keep their text. */
  unresolved: Set<string>;
  diagnostics: Diagnostic[];
}

export function interpolate(document: TomlDocument, options: InterpolateOptions): Interpolated {
  const result: Interpolated = { value: {}, touched: new Set(), unresolved: new Set(), diagnostics: [] };
  const walk = (value: TomlValue, path: Path): TomlValue => {
    if (options.skip?.(path)) return value;
    if (typeof value === 'string') return leaf(value, path);
    if (Array.isArray(value)) return value.map((each, i) => walk(each, [...path, i]));
    if (typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, walk(each, [...path, key])]));
  };

  const leaf = (text: string, path: Path): string => {
    if (!text.includes('$')) return text;
    const problems: { severity: 'error' | 'warning'; message: string; help?: string }[] = [];
    let referenced = false;
    const replaced = text.replace(REFERENCE, (whole, inner: string | undefined) => {
      if (whole === '$$') return '$';
      referenced = true;
      const resolved = resolve(inner, options);
      if (typeof resolved === 'string') return resolved;
      problems.push(resolved);
      return whole;
    });
    if (referenced) result.touched.add(dotted(path));
    if (problems.length === 0) return replaced;
    result.unresolved.add(dotted(path));
    for (const problem of problems) result.diagnostics.push(diagnosticAt(document, path, 'value', problem));
    return text;
  };

  result.value = walk(document.value, []) as TomlTable;
  return result;
}

function resolve(
  inner: string | undefined,
  { env, mode, readFile, allowEnv }: InterpolateOptions,
): string | { severity: 'error' | 'warning'; message: string; help?: string } {
  if (inner?.startsWith('file:')) {
    const path = inner.slice('file:'.length);
    if (allowEnv)
      return { severity: 'error', message: '`${file:...}` is not allowed in a pipeline deployed over REST' };
    try {
      return readFile(path).replace(/\r?\n$/, '');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return { severity: mode === 'run' ? 'error' : 'warning', message: `cannot read the file ${path}: ${reason}` };
    }
  }
  const match = VARIABLE.exec(inner ?? '');
  if (!match?.[1]) {
    return {
      severity: 'error',
      message: 'not a reference: write `${NAME}`, `${NAME:-default}` or `${file:/path}`',
      help: 'a dollar sign before a brace is written `$${`',
    };
  }
  const name = match[1];
  const fallback = match[2];
  if (allowEnv && !allowEnv.includes(name)) {
    return {
      severity: 'error',
      message: `the variable \`${name}\` is not allowed here`,
      help: 'name it in `[etl] allow_env` of the server',
    };
  }
  const set = env[name];
  if (fallback !== undefined) return set || fallback;
  if (set !== undefined) return set;
  return {
    severity: mode === 'run' ? 'error' : 'warning',
    message: `the environment variable \`${name}\` is not set`,
    help: `set it, or give a default: \`\${${name}:-...}\``,
  };
}
