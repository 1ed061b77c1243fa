import { z } from 'zod';
import type { LogRecord } from '../../core/engine/records.ts';
import { compilePointer, deepEqual, type Lookup } from './json-path.ts';

/*
 * `when`: data, not a language. One subject (header | key | topic | json) with one test (equals | in | prefix | exists
 * | gte and/or lte), or any / all / not of such. What is not there fails every test but `exists = false`.
 */

export interface Condition {
  header?: string | undefined;
  key?: true | undefined;
  topic?: true | undefined;
  /** JSON pointer (RFC 6901) into the value. */
  json?: string | undefined;
  equals?: Scalar | undefined;
  in?: Scalar[] | undefined;
  prefix?: string | undefined;
  exists?: boolean | undefined;
  gte?: number | string | undefined;
  lte?: number | string | undefined;
  any?: Condition[] | undefined;
  all?: Condition[] | undefined;
  not?: Condition | undefined;
}
type Scalar = string | number | boolean;

const SUBJECTS = ['header', 'key', 'topic', 'json'] as const;
const TESTS = ['equals', 'in', 'prefix', 'exists', 'gte', 'lte'] as const;
const GROUPS = ['any', 'all', 'not'] as const;

const scalar = z.union([z.string(), z.number(), z.boolean()]);
const bound = z.union([z.number(), z.string()]);
const itself = (what: string): z.ZodType<true> =>
  z.literal(true, { error: `there is one ${what} only: write \`${what} = true, equals = "..."\`` });

export const conditionSchema: z.ZodType<Condition> = z.lazy(() =>
  z
    .strictObject({
      header: z.string().min(1).optional().describe('The header to look at; the last one when there are several.'),
      key: itself('key').optional().describe('Look at the record key, as text.'),
      topic: itself('topic').optional().describe('Look at the name of the topic.'),
      json: z
        .string()
        .regex(/^(\/.*)?$/s, 'a JSON pointer begins with a slash, such as "/total/eur"')
        .optional()
        .describe('JSON pointer (RFC 6901) into the value, such as "/total/eur".'),
      equals: scalar.optional(),
      in: z.array(scalar).min(1).optional().describe('Equals one of these.'),
      prefix: z.string().optional().describe('Text that begins with this.'),
      exists: z.boolean().optional(),
      gte: bound.optional().describe('At least; numbers as numbers, texts by their code units.'),
      lte: bound.optional().describe('At most.'),
      any: z.array(conditionSchema).min(1).optional().describe('At least one of these.'),
      all: z.array(conditionSchema).min(1).optional().describe('All of these.'),
      not: conditionSchema.optional(),
    })
    .superRefine((condition, context) => {
      const problem = shapeProblem(condition);
      if (problem) context.addIssue({ code: 'custom', message: problem.message, params: { help: problem.help } });
    }),
);

function shapeProblem(condition: Condition): { message: string; help: string } | null {
  const subjects = SUBJECTS.filter(name => condition[name] !== undefined);
  const groups = GROUPS.filter(name => condition[name] !== undefined);
  const tests = TESTS.filter(name => condition[name] !== undefined);
  const several = 'one condition at a time: put several into `all = [{ ... }, { ... }]` or `any = [...]`';
  const named = (names: readonly string[]): string => names.map(name => `\`${name}\``).join(' and ');
  if (subjects.length + groups.length > 1)
    return { message: `${named([...subjects, ...groups])} together`, help: several };
  if (groups.length === 1) {
    return tests.length === 0 ? null : { message: `${named(tests)} beside ${named(groups)}`, help: several };
  }
  if (subjects.length === 0) {
    return { message: 'nothing to look at', help: 'name one of `header`, `key`, `topic`, `json`, `any`, `all`, `not`' };
  }
  const example = `for example \`{ header = "tier", equals = "gold" }\``;
  if (tests.length === 0) return { message: `${named(subjects)} without a test`, help: example };
  const range = tests.every(name => name === 'gte' || name === 'lte');
  return tests.length === 1 || range ? null : { message: `${named(tests)} together`, help: several };
}

/** The value is parsed at most once a record, and only when a condition needs it. */
interface Subject {
  record: LogRecord;
  topic: string;
  json: { parsed: boolean; value: unknown };
}
type Test = (subject: Subject) => boolean;

/** Compiles a condition for records of `topic`. */
export function compileWhen(condition: Condition, topic: string): (record: LogRecord) => boolean {
  const test = compile(condition);
  return record => test({ record, topic, json: { parsed: false, value: undefined } });
}

function compile(condition: Condition): Test {
  if (condition.any) {
    const tests = condition.any.map(compile);
    return subject => tests.some(test => test(subject));
  }
  if (condition.all) {
    const tests = condition.all.map(compile);
    return subject => tests.every(test => test(subject));
  }
  if (condition.not) {
    const test = compile(condition.not);
    return subject => !test(subject);
  }
  const read = reader(condition);
  const accepts = predicate(condition);
  return subject => accepts(read(subject));
}

/** What a condition looks at: undefined when it is not there; null when it is there without a value. */
function reader(condition: Condition): (subject: Subject) => unknown {
  if (condition.header !== undefined) {
    const name = condition.header;
    return ({ record }) => {
      const header = record.headers.findLast(([key]) => key === name);
      return header ? text(header[1]) : undefined;
    };
  }
  if (condition.key) return ({ record }) => text(record.key) ?? undefined;
  if (condition.topic) return ({ topic }) => topic;
  const lookup: Lookup = compilePointer(condition.json ?? '');
  return subject => {
    if (!subject.json.parsed) subject.json = { parsed: true, value: parse(subject.record.value) };
    return lookup(subject.json.value);
  };
}

function predicate(condition: Condition): (value: unknown) => boolean {
  // Headers, keys and topics are text: 5 in the file means "5" there.
  const isText = condition.json === undefined;
  const wanted = (scalarValue: Scalar): Scalar => (isText ? String(scalarValue) : scalarValue);
  if (condition.exists !== undefined) {
    const expected = condition.exists;
    return value => (value !== undefined) === expected;
  }
  if (condition.equals !== undefined) {
    const expected = wanted(condition.equals);
    return value => deepEqual(value, expected);
  }
  if (condition.in) {
    const expected = new Set<unknown>(condition.in.map(wanted));
    return value => expected.has(value);
  }
  if (condition.prefix !== undefined) {
    const expected = condition.prefix;
    return value => typeof value === 'string' && value.startsWith(expected);
  }
  const atLeast = comparison(condition.gte, isText, (value, limit) => value >= limit);
  const atMost = comparison(condition.lte, isText, (value, limit) => value <= limit);
  return value => atLeast(value) && atMost(value);
}

function comparison(
  limit: number | string | undefined,
  isText: boolean,
  compare: (value: number | string, limit: number | string) => boolean,
): (value: unknown) => boolean {
  if (limit === undefined) return () => true;
  if (typeof limit === 'string' && !isNumber(limit)) return value => typeof value === 'string' && compare(value, limit);
  // A limit from a variable is text: beside a number it means the number.
  if (typeof limit === 'string') {
    return value =>
      typeof value === 'string' ? compare(value, limit) : typeof value === 'number' && compare(value, Number(limit));
  }
  return value => {
    const number = isText && typeof value === 'string' && isNumber(value) ? Number(value) : value;
    return typeof number === 'number' && compare(number, limit);
  };
}

const isNumber = (words: string): boolean => words.trim() !== '' && !Number.isNaN(Number(words));

function text(bytes: Uint8Array | null): string | null {
  return bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
}

function parse(bytes: Uint8Array | null): unknown {
  try {
    return bytes ? JSON.parse(text(bytes) as string) : undefined;
  } catch {
    return undefined;
  }
}
