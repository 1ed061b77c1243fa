import { asMillstreamError } from '../../core/base/errors.ts';
import { contains } from '../../etl/definition/json-path.ts';
import type { Sandbox, StoredModule } from '../../etl/sandbox/sandbox.ts';
import { type Expected, type ModuleCase, recordOf, recordsOf } from './cases.ts';
import { configMisfit } from './config-misfit.ts';
import { type ModuleSetup, openModule, type RecordResult, refusalOf, runRecords } from './run-module.ts';

/** Records that share a batch must not notice each other: the same cases in these sizes give the same. */
const BATCH_SIZES = [1, 7, Number.POSITIVE_INFINITY];

export interface CaseResult {
  name: string;
  line: number;
  /** Empty: passed. */
  failures: string[];
}

/** Every case alone, in batches of 7 and all at once (of those that have the same config); in the order of the file. A
 * module with state is given each case's own records in these batches, from an empty state. */
export async function runCases(
  sandbox: Sandbox,
  module: StoredModule,
  cases: readonly ModuleCase[],
): Promise<CaseResult[]> {
  const results = cases.map(({ name, line }): CaseResult => ({ name, line, failures: [] }));
  const groups = new Map<string, number[]>();
  for (const [i, { config, outputs, refused, records }] of cases.entries()) {
    const isAlone = refused !== undefined || records !== undefined || Boolean(module.state);
    const key = isAlone ? `alone ${i}` : JSON.stringify([config, outputs]);
    groups.set(key, [...(groups.get(key) ?? []), i]);
  }
  for (const members of groups.values()) {
    const group = members.map(i => cases[i] as ModuleCase);
    const failures = await runGroup(sandbox, module, group);
    failures.forEach((found, i) => results[members[i] as number]?.failures.push(...found));
  }
  return results;
}

/** Failures by member. */
async function runGroup(sandbox: Sandbox, module: StoredModule, group: ModuleCase[]): Promise<string[][]> {
  const [first] = group as [ModuleCase];
  const setup = { module, config: first.config, outputs: first.outputs };
  if (first.refused !== undefined) return [refusalFailures(first.refused, await refusalOf(sandbox, setup))];
  const misfit = configMisfit(module, first.config);
  if (misfit !== null) return group.map(() => [`the config does not fit the module's own schema: ${misfit}`]);
  if (module.state || first.records) return [await runInRow(sandbox, setup, first)];
  const lane = openModule(sandbox, setup);
  try {
    const failures: string[][] = group.map(() => []);
    for (const size of BATCH_SIZES) {
      if (size !== 1 && group.length === 1) break;
      const { results } = await runRecords(lane, first.outputs, group.map(recordOf), Math.min(size, group.length));
      results.forEach((result, i) => {
        // What fails alone is told once.
        if (failures[i]?.length !== 0) return;
        const where = size === 1 ? '' : `in a batch of ${Math.min(size, group.length)}: `;
        failures[i]?.push(...failuresOf(group[i] as ModuleCase, result).map(each => where + each));
      });
    }
    return failures;
  } catch (error) {
    return group.map(() => [asMillstreamError(error).message]);
  } finally {
    await lane.close();
  }
}

/** One case whose records follow each other, in every size of batches. */
async function runInRow(sandbox: Sandbox, setup: ModuleSetup, one: ModuleCase): Promise<string[]> {
  const records = recordsOf(one);
  for (const size of new Set(BATCH_SIZES.map(each => Math.min(each, records.length)))) {
    const lane = openModule(sandbox, setup);
    try {
      const { results } = await runRecords(lane, setup.outputs, records, size);
      const emitted = results.flatMap(result => result.emitted);
      const failed = results.find(result => result.failed)?.failed ?? null;
      const where = size === 1 ? '' : `in batches of ${size}: `;
      const failures = failuresOf(one, { emitted, failed }).map(each => where + each);
      if (failures.length > 0) return failures;
    } catch (error) {
      return [asMillstreamError(error).message];
    } finally {
      await lane.close();
    }
  }
  return [];
}

function refusalFailures(wanted: string, found: string | null): string[] {
  if (found === null) return [`expected that the config is refused: ${wanted}`];
  return found.includes(wanted) ? [] : [`expected the refusal ${show(wanted)}`, `found    ${show(found)}`];
}

function failuresOf({ fail, expect = [] }: ModuleCase, { emitted, failed }: RecordResult): string[] {
  if (fail) {
    if (!failed) return [`expected the failure ${fail.code}, but ${said(emitted)}`];
    const fits = failed.code === fail.code && (fail.reason === undefined || failed.reason === fail.reason);
    return fits ? [] : [`expected ${fail.code}: ${fail.reason ?? '…'}`, `found    ${failed.code}: ${failed.reason}`];
  }
  if (failed) return [`it failed: ${failed.code}, ${failed.reason}`];
  const left = [...emitted];
  const failures: string[] = [];
  for (const wanted of expect) {
    const table: Expected = typeof wanted === 'string' ? { value: wanted } : wanted;
    const at = left.findIndex(each => table.output === undefined || each.output === table.output);
    if (at < 0) failures.push(`expected ${show(wanted)}, but ${said(emitted)}`);
    else failures.push(...mismatches(table, left.splice(at, 1)[0] as RecordResult['emitted'][number]));
  }
  if (failures.length === 0 && left.length > 0) failures.push(`it emits more than is expected: ${said(left)}`);
  return failures;
}

function mismatches(wanted: Expected, { record }: RecordResult['emitted'][number]): string[] {
  const lines: string[] = [];
  const differ = (what: string, is: unknown, should: unknown): void => {
    if (is !== should) lines.push(`- ${what} = ${show(should)}`, `+ ${what} = ${show(is)}`);
  };
  const value = text(record.value);
  if (wanted.value !== undefined) differ('value', value, wanted.value);
  if (wanted.tombstone) differ('value', value, null);
  if (wanted.key !== undefined) differ('key', text(record.key), wanted.key);
  if (wanted.timestamp !== undefined) differ('timestamp', record.timestamp, wanted.timestamp);
  for (const [name, should] of Object.entries(wanted.headers ?? {})) {
    differ(`header ${name}`, text(record.headers.findLast(([key]) => key === name)?.[1] ?? null), should);
  }
  if (wanted.json !== undefined && !contains(parsed(value), wanted.json)) differ('json', value, wanted.json);
  return lines;
}

function said(emitted: RecordResult['emitted']): string {
  if (emitted.length === 0) return 'it was dropped';
  return `it emits ${emitted.map(({ output, record }) => `${show(text(record.value))} to ${output}`).join(', ')}`;
}

function parsed(value: string | null): unknown {
  try {
    return JSON.parse(value ?? 'null');
  } catch {
    return undefined;
  }
}

const text = (bytes: Uint8Array | null): string | null => bytes && Buffer.from(bytes).toString();
const MAX_SHOWN = 400;
const show = (value: unknown): string => {
  const shown = JSON.stringify(value) ?? '(absent)';
  return shown.length > MAX_SHOWN ? `${shown.slice(0, MAX_SHOWN)}…` : shown;
};
