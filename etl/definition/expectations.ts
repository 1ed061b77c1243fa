import type { LogRecord } from '../../core/engine/records.ts';
import type { LetterSummary } from '../sandbox/sandbox.ts';
import { compilePath, contains } from './json-path.ts';
import type { ExpectPlan } from './plan.ts';

/** What became of a test case's record. */
export interface Outcome {
  /** In the order in which they came out. */
  records: OutcomeRecord[];
  letters: LetterSummary[];
  /** A step's policy stopped the pipeline. */
  stopped: { step: string; code: string; reason: string } | null;
}

export interface OutcomeRecord {
  output: string;
  record: LogRecord;
  /** Sinks that would take it. */
  sinks: string[];
}

/** Why a case failed; the lines of `diff` begin with `-` (expected) or `+` (found). */
export interface Failure {
  message: string;
  diff: string[];
}

/** Compares what happened with what a case expects; empty when it is as expected. */
export function evaluate(expectations: readonly ExpectPlan[], outcome: Outcome): Failure[] {
  const failures: Failure[] = [];
  if (outcome.stopped) {
    const { step, code, reason } = outcome.stopped;
    failures.push({ message: `step \`${step}\` stopped the pipeline: ${code}, ${reason}`, diff: [] });
  }
  const expected = expectations.flatMap(each => each.deadLetter ?? []);
  for (const letter of outcome.letters) {
    if (expected.some(each => fits(each, letter))) continue;
    const message = `step \`${letter.step}\` made it a dead letter: ${letter.code}, ${letter.reason}`;
    failures.push({ message, diff: expected.flatMap(each => [`- ${show(each)}`, `+ ${show(codeOf(letter))}`]) });
  }
  for (const each of expectations) failures.push(...evaluateOne(each, outcome));
  return failures;
}

function evaluateOne(expect: ExpectPlan, outcome: Outcome): Failure[] {
  if (expect.deadLetter) {
    const { deadLetter } = expect;
    if (!outcome.letters.some(letter => fits(deadLetter, letter)) && outcome.letters.length === 0) {
      const found =
        outcome.records.length === 0 ? 'the record was dropped' : `the record went on: ${describe(outcome)}`;
      return [{ message: `expected a dead letter ${show(deadLetter)}, but ${found}`, diff: [] }];
    }
    const more = Object.keys(expect).length > 1;
    if (!more) return [];
  }
  const { outputs, sinks, count } = expect;
  if (outputs?.length === 0 && outcome.records.length > 0) {
    return [{ message: `expected no record, but there is one: ${describe(outcome)}`, diff: [] }];
  }
  const candidates = outcome.records.filter(each => !outputs?.length || outputs.includes(each.output));
  const judged = candidates.map(each => ({ ...each, diff: mismatches(expect, each.record) }));
  const meant = judged.filter(each => each.diff.length === 0);
  const failures: Failure[] = [];
  const nothingMeant = sinks?.length === 0 || outputs?.length === 0;
  if (count === undefined ? meant.length === 0 && !nothingMeant : meant.length !== count) {
    const wanted = count === undefined ? 'a record' : `${count} ${count === 1 ? 'record' : 'records'}`;
    const nearest = judged.toSorted((a, b) => a.diff.length - b.diff.length)[0];
    const found = `${meant.length === 0 ? 'none' : meant.length} of ${describe(outcome)}`;
    const message = outcome.records.length === 0 ? 'no record came out' : `${found} is as expected`;
    failures.push({
      message: `expected ${wanted}, but ${message}`,
      diff: meant.length === 0 ? (nearest?.diff ?? []) : [],
    });
    return failures;
  }
  for (const output of outputs ?? []) {
    if (!meant.some(each => each.output === output)) {
      failures.push({ message: `no such record on output \`${output}\`: ${describe(outcome)}`, diff: [] });
    }
  }
  if (sinks) {
    const reached = [...new Set(meant.flatMap(each => each.sinks))].toSorted();
    const wanted = [...new Set(sinks)].toSorted();
    if (reached.join() !== wanted.join()) {
      failures.push({
        message: 'it reaches other sinks',
        diff: [`- sinks = ${show(wanted)}`, `+ sinks = ${show(reached)}`],
      });
    }
  }
  return failures;
}

const fits = (expected: { step?: string; code?: string }, letter: LetterSummary): boolean =>
  (expected.step === undefined || expected.step === letter.step) &&
  (expected.code === undefined || expected.code === letter.code);

const codeOf = ({ step, code }: LetterSummary): object => ({ step, code });

function describe({ records }: Outcome): string {
  if (records.length === 0) return 'no record';
  const outputs = records.map(each => each.output).join(', ');
  return `${records.length} ${records.length === 1 ? 'record' : 'records'} (output ${outputs})`;
}

/** Lines of a diff; none when the record's contents are as expected. */
function mismatches(expect: ExpectPlan, record: LogRecord): string[] {
  const lines: string[] = [];
  for (const [name, wanted] of Object.entries(expect.headers ?? {})) {
    const header = record.headers.findLast(([key]) => key === name);
    const found = header ? (textOf(header[1]) ?? null) : undefined;
    if (found !== wanted) lines.push(`- header ${name} = ${show(wanted)}`, `+ header ${name} = ${show(found)}`);
  }
  if (expect.json === undefined && !expect.absent && !expect.matches) return lines;
  const parsed = parse(record.value);
  if (!parsed.ok) return [...lines, '- JSON', `+ ${parsed.text}`];
  lines.push(...jsonDiff(expect.json, parsed.value, ''));
  for (const path of expect.absent ?? []) {
    const found = compilePath(path)(parsed.value);
    if (found !== undefined) lines.push(`- ${path} absent`, `+ ${path} = ${show(found)}`);
  }
  for (const [path, pattern] of Object.entries(expect.matches ?? {})) {
    const found = compilePath(path)(parsed.value);
    const text = typeof found === 'string' ? found : JSON.stringify(found);
    if (found === undefined || !new RegExp(pattern, 'u').test(text)) {
      lines.push(`- ${path} matches ${show(pattern)}`, `+ ${path} = ${show(found)}`);
    }
  }
  return lines;
}

/** The innermost places where `actual` does not hold what is expected. */
function jsonDiff(expected: unknown, actual: unknown, path: string): string[] {
  if (expected === undefined || contains(actual, expected)) return [];
  const tables = isTable(expected) && isTable(actual);
  if (tables) {
    return Object.entries(expected).flatMap(([key, each]) =>
      jsonDiff(each, Object.hasOwn(actual, key) ? actual[key] : undefined, path === '' ? key : `${path}.${key}`),
    );
  }
  const name = path === '' ? 'value' : path;
  return [`- ${name} = ${show(expected)}`, `+ ${name} = ${show(actual)}`];
}

const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const MAX_SHOWN = 300;

function show(value: unknown): string {
  if (value === undefined) return '(absent)';
  const text = JSON.stringify(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text;
}

function textOf(bytes: Uint8Array | null): string | undefined {
  return bytes ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString() : undefined;
}

function parse(bytes: Uint8Array | null): { ok: true; value: unknown } | { ok: false; text: string } {
  const text = textOf(bytes);
  if (text === undefined) return { ok: false, text: 'a tombstone' };
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch {
    return { ok: false, text: show(text) };
  }
}
