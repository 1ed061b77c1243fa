/** The little of GoogleSQL that differs from DuckDB in the queries that tests and tools ask: names and parameters. */
import { quote } from './types.ts';

/** The schema that stands for a dataset. */
export const schemaName = (project: string, dataset: string): string => `${project}.${dataset}`;

/**
 * `p.d.t`, p.d.t, d.t behind FROM or JOIN become "p.d"."t"; other backticks become double quotes; @name becomes $name.
 * Strings are left alone.
 */
export function translate(sql: string, project: string): string {
  const parts = sql.split(/('(?:[^'\\]|\\.)*')/);
  return parts.map((part, i) => (i % 2 === 1 ? part : translatePart(part, project))).join('');
}

function translatePart(sql: string, project: string): string {
  return sql
    .replace(/`([^`]+)`((?:\.`[^`]+`)*)/g, (_, first: string, rest: string) =>
      name(
        [...first.split('.'), ...[...rest.matchAll(/`([^`]+)`/g)].flatMap(match => (match[1] ?? '').split('.'))],
        project,
      ),
    )
    .replace(
      /\b(FROM|JOIN)(\s+)([A-Za-z_][\w-]*(?:\.[\w-]+){1,2})(?![\w.(])/gi,
      (_, word: string, space: string, path: string) => `${word}${space}${name(path.split('.'), project)}`,
    )
    .replace(/@(\w+)/g, (_, parameter: string) => `$${parameter}`);
}

function name(parts: string[], project: string): string {
  if (parts.length === 1) return quote(parts[0] ?? '');
  const [table, dataset, owner] = parts.toReversed();
  return `${quote(schemaName(owner ?? project, dataset ?? ''))}.${quote(table ?? '')}`;
}
