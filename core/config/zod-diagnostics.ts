import type { z } from 'zod';
import type { Diagnostic } from './diagnostic.ts';
import { diagnosticAt } from './diagnostic-at.ts';
import { nearest, suggest } from './did-you-mean.ts';
import { type UnknownKey, unknownKeys } from './schema-walk.ts';
import { dotted, type Path, type TomlDocument, valueIn } from './toml.ts';

export interface CheckOptions {
  document: TomlDocument;
  /** Where in the document `value` stands. */
  base?: Path;
  /** Dotted paths of strings that came from variables: converted to the type that the schema wants. */
  touched?: ReadonlySet<string>;
  /** Dotted paths whose value is not known: nothing is said about them. */
  unresolved?: ReadonlySet<string>;
  /** A better word for an unknown key; null: the usual one. `path` is absolute. */
  explainUnknown?: (unknown: UnknownKey) => { message: string; help?: string } | null;
}

export interface Checked<T> {
  /** null when there are errors, or when it hangs on an unresolved value. */
  data: T | null;
  diagnostics: Diagnostic[];
}

type Issue = z.core.$ZodIssue;

/** Checks a plain value against a zod schema and says what is wrong where in the document. */
export function check<T>(schema: z.ZodType<T>, value: unknown, options: CheckOptions): Checked<T> {
  const { document, base = [], unresolved } = options;
  const unknown = unknownKeys(schema, value).map(each => ({ ...each, path: [...base, ...each.path] }));
  const diagnostics: Diagnostic[] = unknown.map(each => {
    const explained = options.explainUnknown?.(each) ?? {
      message: `unknown key \`${each.key}\``,
      help: suggest(each.key, each.known),
    };
    return diagnosticAt(document, [...each.path, each.key], 'key', explained);
  });

  const { result, value: converted } = parseConverting(schema, value, base, options.touched);
  if (result.success) return { data: unknown.length === 0 ? result.data : null, diagnostics };
  const elsewhere = new Set(unknown.flatMap(namesMeant));
  for (const issue of result.error.issues.flatMap(flatten)) {
    if (issue.code === 'unrecognized_keys') continue;
    const path = [...base, ...(issue.path as Path)];
    if (isUnresolved(path, unresolved)) continue;
    // A table with a misspelt key breaks the rules of the table: the one finding is enough.
    if (issue.code === 'custom' && unknown.some(each => dotted(each.path) === dotted(path))) continue;
    const missing = issue.path.length > 0 && valueIn(converted, issue.path as Path) === undefined;
    if (missing) {
      if (!elsewhere.has(dotted(path))) {
        diagnostics.push(diagnosticAt(document, path, 'key', { message: `\`${dotted(path)}\` is missing` }));
      }
      continue;
    }
    const { message, help } = explain(issue, valueIn(converted, issue.path as Path));
    const where = issue.code === 'invalid_key' ? 'key' : 'value';
    diagnostics.push(diagnosticAt(document, path, where, { message: `\`${dotted(path)}\`: ${message}`, help }));
  }
  return { data: null, diagnostics };
}

/** Keys that are not missing but misspelt, or written below the wrong header. */
function namesMeant({ path, key, known }: UnknownKey): string[] {
  return [
    dotted([...path, nearest(key, known) ?? '']),
    ...path.map((_, length) => dotted([...path.slice(0, length), key])),
  ];
}

function isUnresolved(path: Path, unresolved: ReadonlySet<string> | undefined): boolean {
  if (!unresolved?.size) return false;
  // The path itself, or a list or table that holds the unknown value.
  const text = dotted(path);
  return [...unresolved].some(each => each === text || each.startsWith(`${text}.`) || each.startsWith(`${text}[`));
}

/** Parses; where a string from a variable has the wrong type, it is converted and the value parsed again. */
function parseConverting<T>(
  schema: z.ZodType<T>,
  value: unknown,
  base: Path,
  touched: ReadonlySet<string> | undefined,
): { result: z.ZodSafeParseResult<T>; value: unknown } {
  let current = value;
  let result = schema.safeParse(current);
  // Each round may uncover values behind the ones that were wrong before.
  if (!touched?.size) return { result, value: current };
  for (let round = 0; round < 4 && !result.success; round++) {
    let changed = false;
    for (const issue of result.error.issues.flatMap(allTypeIssues)) {
      const path = issue.path as Path;
      const text = valueIn(current, path);
      if (typeof text !== 'string' || !touched.has(dotted([...base, ...path]))) continue;
      const converted = convert(text, issue.expected);
      if (converted === undefined) continue;
      current = replaceIn(current, path, converted);
      changed = true;
    }
    if (!changed) break;
    result = schema.safeParse(current);
  }
  return { result, value: current };
}

function convert(text: string, expected: string): unknown {
  const trimmed = text.trim();
  if ((expected === 'number' || expected === 'int') && /^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(trimmed)) {
    return Number(trimmed);
  }
  if (expected === 'bigint' && /^[+-]?\d+$/.test(trimmed)) return BigInt(trimmed);
  if (expected === 'boolean' && /^(true|false)$/i.test(trimmed)) return trimmed.toLowerCase() === 'true';
  if (expected === 'array') return trimmed === '' ? [] : trimmed.split(',').map(each => each.trim());
  return undefined;
}

function replaceIn(value: unknown, path: Path, replacement: unknown): unknown {
  const [part, ...rest] = path;
  if (part === undefined) return replacement;
  if (Array.isArray(value)) {
    return value.map((each: unknown, i) => (i === part ? replaceIn(each, rest, replacement) : each));
  }
  const table = value as Record<string, unknown>;
  return { ...table, [part]: replaceIn(table[part], rest, replacement) };
}

function allTypeIssues(issue: Issue): z.core.$ZodIssueInvalidType[] {
  if (issue.code === 'invalid_type') return [issue];
  if (issue.code !== 'invalid_union') return [];
  return issue.errors.flatMap(branch =>
    branch.flatMap(each => allTypeIssues({ ...each, path: [...issue.path, ...each.path] })),
  );
}

/** A union's issue becomes those of the one branch whose type fits, when there is one. */
function flatten(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const fitting = issue.errors.filter(branch => !branch.some(each => each.path.length === 0 && isTypeIssue(each)));
  const branch = fitting.length === 1 ? fitting[0] : undefined;
  if (!branch) return [issue];
  return branch.flatMap(each => flatten({ ...each, path: [...issue.path, ...each.path] }));
}

const isTypeIssue = (issue: Issue): boolean => issue.code === 'invalid_type' || issue.code === 'invalid_value';

const TYPE_WORDS: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  bigint: 'a whole number',
  array: 'a list',
  object: 'a table',
  record: 'a table',
  never: 'nothing',
};

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a table';
  return TYPE_WORDS[typeof value] ?? typeof value;
}

function explain(issue: Issue, value: unknown): { message: string; help?: string | undefined } {
  // A message of our own in the schema is better than any that can be made here.
  if (!/^(Invalid |Too (small|big))/.test(issue.message)) {
    const hint: unknown = issue.code === 'custom' ? issue.params?.['help'] : undefined;
    return { message: issue.message, help: typeof hint === 'string' ? hint : undefined };
  }
  switch (issue.code) {
    case 'invalid_type': {
      if (issue.expected === 'int' || (issue.expected === 'number' && typeof value === 'bigint')) {
        return { message: 'expected a whole number' };
      }
      return { message: `expected ${TYPE_WORDS[issue.expected] ?? issue.expected}, found ${describe(value)}` };
    }
    case 'invalid_value': {
      const choices = issue.values.map(each => JSON.stringify(each)).join(', ');
      const near = typeof value === 'string' ? nearest(value, issue.values.filter(isString)) : null;
      return {
        message: issue.values.length === 1 ? `expected ${choices}` : `expected one of ${choices}`,
        ...(near === null ? {} : { help: `did you mean "${near}"?` }),
      };
    }
    case 'invalid_union': {
      const wanted = issue.errors.flatMap(branch =>
        branch.flatMap(each => {
          if (each.path.length > 0) return [];
          if (each.code === 'invalid_type') return [TYPE_WORDS[each.expected] ?? each.expected];
          return each.code === 'invalid_value' ? each.values.map(choice => JSON.stringify(choice)) : [];
        }),
      );
      const words = [...new Set(wanted)];
      return { message: words.length > 0 ? `expected ${words.join(' or ')}, found ${describe(value)}` : 'not valid' };
    }
    case 'invalid_key':
      return { message: issue.issues[0]?.message ?? 'not a valid name' };
    case 'too_small':
      return { message: bound(issue.origin, 'at least', Number(issue.minimum)) };
    case 'too_big':
      return { message: bound(issue.origin, 'at most', Number(issue.maximum)) };
    case 'custom':
    case 'invalid_element':
    case 'invalid_format':
    case 'not_multiple_of':
    case 'unrecognized_keys':
      return { message: `${issue.message.charAt(0).toLowerCase()}${issue.message.slice(1)}` };
  }
}

const isString = (value: unknown): value is string => typeof value === 'string';

function bound(origin: string, words: string, limit: number): string {
  if (origin === 'string')
    return limit === 1 && words === 'at least' ? 'must not be empty' : `must have ${words} ${limit} characters`;
  if (origin === 'array') return `must have ${words} ${limit} ${limit === 1 ? 'entry' : 'entries'}`;
  return `must be ${words} ${limit}`;
}
