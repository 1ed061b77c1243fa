import type { Diagnostic } from '../../core/config/diagnostic.ts';
import { valueIn } from '../../core/config/toml.ts';

/** The environment laid over what a file says. */

/** A copy of `value` with `leaf` at the path; tables on the way are made. */
export function withValue(value: unknown, path: readonly string[], leaf: string): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return leaf;
  const table = typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
  return { ...table, [key]: withValue(valueIn(table, [key]), rest, leaf) };
}

/** A finding about a value that a variable gave points there, not into the file. */
export function pointAtEnvironment(diagnostic: Diagnostic, variable: string | undefined): Diagnostic {
  if (variable === undefined) return diagnostic;
  const { endColumn: _, ...rest } = diagnostic;
  return { ...rest, ...atVariable(variable, diagnostic.severity, diagnostic.message) };
}

export function atVariable(name: string, severity: Diagnostic['severity'], message: string): Diagnostic {
  return { file: `environment variable ${name}`, line: 0, column: 0, severity, message };
}
