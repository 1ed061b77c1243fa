import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { silentLogger } from '../../core/base/logger.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import type { NewRecord } from '../../core/engine/records.ts';
import { readCases, recordOf } from '../modules/cases.ts';
import { freshModule, type ModuleFolder, moduleFolders } from '../modules/project-modules.ts';
import { openModule, runRecords } from '../modules/run-module.ts';
import { requireSettings } from '../settings.ts';
import { type Command, EXIT, type Io, text, type Values, wholeNumber } from './command.ts';
import { configOf, withSandbox } from './module-results.ts';

/** As many as a task of a busy pipeline has. */
const BATCH_RECORDS = 500;
const WARM_UP_MS = 500;

export const bench: Command = {
  usage: 'module bench NAME [--input FILE] [--with JSON] [--seconds N] [--json]',
  summary: 'measure how long a module takes for a record, in batches of 500, on one worker',
  words: [1, 1],
  options: {
    input: { type: 'string', help: 'records, one value a line (default: the inputs of its cases)' },
    with: { type: 'string', help: "the step's config, as JSON (default: that of the first case)" },
    seconds: { type: 'string', help: 'how long (default: 3)' },
    json: { type: 'boolean', help: 'as JSON' },
  },
  async run(words, values, io) {
    const settings = requireSettings(text(values, 'config'), io.env, io.cwd);
    const [where] = moduleFolders(settings, words) as [ModuleFolder];
    const seconds = wholeNumber(values, 'seconds', 1, 600) ?? 3;
    const module = await freshModule(where);
    const { records, config, outputs } = workOf(where, values, io);
    const batch = Array.from({ length: BATCH_RECORDS }, (_, i) => records[i % records.length] as NewRecord);
    const measured = await withSandbox(silentLogger, async sandbox => {
      const lane = openModule(sandbox, { module, config, outputs });
      const rounds: number[] = [];
      try {
        // The worker starts and the module is compiled, however long that takes here.
        await runRecords(lane, outputs, batch, BATCH_RECORDS);
        const started = performance.now();
        let wallMs = 0;
        while (rounds.length === 0 || performance.now() - started < WARM_UP_MS + seconds * 1000) {
          const before = performance.now();
          const { nanoseconds } = await runRecords(lane, outputs, batch, BATCH_RECORDS);
          if (before - started < WARM_UP_MS) continue;
          rounds.push(nanoseconds / BATCH_RECORDS);
          wallMs += performance.now() - before;
        }
        return { rounds: rounds.toSorted((a, b) => a - b), wallMs };
      } finally {
        await lane.close();
      }
    });
    const at = (share: number): number => Math.round(measured.rounds[Math.floor(measured.rounds.length * share)] ?? 0);
    const result = {
      module: module.name,
      sha256: module.sha256,
      records: measured.rounds.length * BATCH_RECORDS,
      ns_per_record: { p50: at(0.5), p10: at(0.1), p90: at(0.9) },
      records_per_second: Math.round(1e9 / Math.max(1, at(0.5))),
    };
    const { p50, p10, p90 } = result.ns_per_record;
    const line = `${module.name}: ${p50} ns a record (p10 ${p10}, p90 ${p90}), ${result.records_per_second.toLocaleString('en-US')} records/s of one worker, ${result.records.toLocaleString('en-US')} measured\n`;
    io.out(values['json'] === true ? `${JSON.stringify(result)}\n` : line);
    return EXIT.ok;
  },
};

/** Kind `invalid`, code NO_RECORDS. */
function workOf(where: ModuleFolder, values: Values, io: Io) {
  const file = text(values, 'input');
  if (file !== undefined) {
    const lines = readFileSync(resolve(io.cwd, file), 'utf8')
      .split('\n')
      .filter(line => line !== '');
    const records = lines.map((line): NewRecord => ({ key: null, value: Buffer.from(line), timestamp: 0 }));
    if (records.length > 0) return { records, config: configOf(values), outputs: ['default'] };
    throw new MillstreamError('invalid', 'NO_RECORDS', `${file} has no lines`);
  }
  const cases = readCases(join(where.folder, 'cases.toml'), `${where.shown}/cases.toml`);
  const usable = cases.filter(each => each.refused === undefined && each.fail === undefined);
  const [first] = usable;
  if (!first) throw new MillstreamError('invalid', 'NO_RECORDS', 'no case has a record that passes: give --input FILE');
  const same = usable.filter(
    each => JSON.stringify([each.config, each.outputs]) === JSON.stringify([first.config, first.outputs]),
  );
  const config = text(values, 'with') === undefined ? first.config : configOf(values);
  return { records: same.map(recordOf), config, outputs: first.outputs };
}
