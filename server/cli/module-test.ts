import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../core/base/clock.ts';
import { silentLogger } from '../../core/base/logger.ts';
import type { NewRecord } from '../../core/engine/records.ts';
import type { Sandbox } from '../../etl/sandbox/sandbox.ts';
import { readCases } from '../modules/cases.ts';
import { freshModule, type ModuleFolder, moduleFolders } from '../modules/project-modules.ts';
import { type CaseResult, runCases } from '../modules/run-cases.ts';
import { openModule, runRecords } from '../modules/run-module.ts';
import { requireSettings } from '../settings.ts';
import { type Command, EXIT, type Io, text, usageError, type Values } from './command.ts';
import { linesOf } from './lines.ts';
import { reproduce } from './module-dead-letter.ts';
import { configOf, errorLogger, resultLines, withSandbox } from './module-results.ts';
import { BROKERS_OPTION } from './target.ts';

/** A record's value is not longer than a topic takes by far. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;

export const test: Command = {
  usage: 'module test [NAME ...] | module test NAME - | module test --dead-letter ID',
  summary: 'run the cases beside modules, lines of the standard input, or what failed, through the real sandbox',
  words: [0, 1000],
  options: {
    ...BROKERS_OPTION,
    only: { type: 'string', help: 'only cases whose name holds this text' },
    with: { type: 'string', help: "with `-`: the step's config, as JSON" },
    'dead-letter': { type: 'string', help: 'run the record of this dead letter again and show the stack' },
    json: { type: 'boolean', help: 'the results as JSON' },
  },
  async run(words, values, io) {
    const settings = requireSettings(text(values, 'config'), io.env, io.cwd);
    const id = text(values, 'dead-letter');
    if (id !== undefined) return withSandbox(errorLogger(io), sandbox => reproduce(id, values, io, settings, sandbox));
    const names = words.filter(word => word !== '-');
    const folders = moduleFolders(settings, names);
    if (names.length < words.length) {
      const [where] = folders;
      if (!where || names.length !== 1) throw usageError('module test NAME - takes one module');
      return withSandbox(errorLogger(io), sandbox => runLines(sandbox, where, values, io));
    }
    return withSandbox(silentLogger, sandbox => testAll(sandbox, folders, values, io));
  },
};

async function testAll(sandbox: Sandbox, folders: ModuleFolder[], values: Values, io: Io): Promise<number> {
  const only = text(values, 'only') ?? '';
  let failed = 0;
  for (const where of folders) {
    const file = join(where.folder, 'cases.toml');
    const shown = `${where.shown}/cases.toml`;
    const cases = existsSync(file) ? readCases(file, shown).filter(({ name }) => name.includes(only)) : [];
    const results = await runCases(sandbox, await freshModule(where), cases);
    failed += results.filter(({ failures }) => failures.length > 0).length;
    io.out(values['json'] === true ? `${JSON.stringify({ file: shown, results })}\n` : rendered(shown, results));
  }
  return failed > 0 ? EXIT.problems : EXIT.ok;
}

function rendered(file: string, results: readonly CaseResult[]): string {
  const lines = results.flatMap(({ name, line, failures }) => [
    failures.length === 0 ? `  ok      ${name}` : `  FAILED  ${name}  (${file}:${line})`,
    ...failures.map(each => `            ${each}`),
  ]);
  const failed = results.filter(({ failures }) => failures.length > 0).length;
  const count = `${results.length} ${results.length === 1 ? 'case' : 'cases'}`;
  lines.push(failed > 0 ? `${file}: ${failed} of ${count} failed` : `${file}: ${count} passed`);
  return `${lines.join('\n')}\n`;
}

/** Each line is the value of a record; what comes out is printed as JSON, one line a record. */
async function runLines(sandbox: Sandbox, where: ModuleFolder, values: Values, io: Io): Promise<number> {
  const module = await freshModule(where);
  const config = configOf(values);
  const outputs = ['default'];
  const lane = openModule(sandbox, { module, config, outputs, traces: true });
  let failed = false;
  try {
    for await (const line of linesOf(io.stdin as AsyncIterable<Buffer>, MAX_LINE_BYTES)) {
      const record: NewRecord = { key: null, value: line, headers: [], timestamp: systemClock.now() };
      const [result] = (await runRecords(lane, outputs, [record], 1)).results;
      if (!result) continue;
      failed ||= result.failed !== null;
      io.out(resultLines(result));
      await io.drained();
    }
  } finally {
    await lane.close();
  }
  return failed ? EXIT.problems : EXIT.ok;
}
