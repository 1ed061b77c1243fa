import { resolve } from 'node:path';
import { systemClock } from '../../core/base/clock.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import { silentLogger } from '../../core/base/logger.ts';
import { Metrics } from '../../core/base/metrics.ts';
import { hasErrors, renderDiagnostics } from '../../core/config/diagnostic.ts';
import { renderTests, runTests } from '../../etl/definition/run-tests.ts';
import { openSandbox } from '../../etl/sandbox/pool.ts';
import { chainSteps, loadModules, pipelineFiles, readPipelineFile } from '../project.ts';
import type { PipelineStatus } from '../pipeline-status.ts';
import { requireSettings } from '../settings.ts';
import { type Command, EXIT, type Io, table, text, type Values } from './command.ts';
import { ask } from './http-client.ts';
import { SERVER_OPTION, serverOf } from './target.ts';

function filesOf(words: string[], values: Values, io: Io) {
  const settings = requireSettings(text(values, 'config'), io.env, io.cwd);
  const files = words.length > 0 ? words.map(word => resolve(io.cwd, word)) : pipelineFiles(settings);
  if (files.length > 0) return { settings, files };
  throw new MillstreamError(
    'invalid',
    'NO_PIPELINES',
    `there is no .toml file in ${settings.config.broker.pipelines_dir}`,
  );
}

export const lint: Command = {
  usage: 'pipeline lint [FILE ...] [--json]',
  summary: 'check pipeline files, with line and column of what is wrong',
  words: [0, 1000],
  options: { json: { type: 'boolean', help: 'the findings as JSON' } },
  async run(words, values, io) {
    const { settings, files } = filesOf(words, values, io);
    const modules = loadModules(settings);
    const read = files.map(file => readPipelineFile(file, modules, { mode: 'lint', env: io.env }));
    const texts = new Map(read.map(each => [each.file, each.text]));
    const diagnostics = read.flatMap(each => each.diagnostics);
    if (values['json'] === true) io.out(`${JSON.stringify(diagnostics, null, 2)}\n`);
    else {
      if (diagnostics.length > 0) io.out(`${renderDiagnostics(diagnostics, file => texts.get(file))}\n`);
      for (const each of read) if (!hasErrors(each.diagnostics)) io.out(`${each.file}: ok\n`);
    }
    return hasErrors(diagnostics) ? EXIT.problems : EXIT.ok;
  },
};

export const test: Command = {
  usage: 'pipeline test [FILE ...] [--only TEXT] [--json]',
  summary: "run the files' [[test]] cases through the real modules, without a broker",
  words: [0, 1000],
  options: {
    only: { type: 'string', help: 'only cases whose name holds this text' },
    json: { type: 'boolean', help: 'the results as JSON' },
  },
  async run(words, values, io) {
    const { settings, files } = filesOf(words, values, io);
    const modules = loadModules(settings);
    const only = text(values, 'only');
    const sandbox = openSandbox({ workers: 1, clock: systemClock, logger: silentLogger, metrics: new Metrics() });
    let failed = false;
    try {
      for (const file of files) {
        const { plan, diagnostics, text: source } = readPipelineFile(file, modules, { mode: 'lint', env: io.env });
        if (!plan) io.out(`${renderDiagnostics(diagnostics, () => source)}\n`);
        const results = plan
          ? await runTests(plan, {
              sandbox,
              read: env => readPipelineFile(file, modules, { mode: 'lint', env }),
              chainSteps: each => chainSteps(each, modules, settings.config),
              ...(only === undefined ? {} : { only }),
            })
          : [];
        failed ||= !plan || results.some(result => result.failures.length > 0);
        io.out(values['json'] === true ? `${JSON.stringify({ file, results })}\n` : `${renderTests(file, results)}\n`);
      }
    } finally {
      await sandbox.close();
    }
    return failed ? EXIT.problems : EXIT.ok;
  },
};

export const list: Command = {
  usage: 'pipeline list [--json]',
  summary: 'list the pipelines of a running server with their counts',
  words: [0, 0],
  options: { ...SERVER_OPTION, json: { type: 'boolean', help: 'as JSON' } },
  async run(_words, values, io) {
    const response = await ask(serverOf(values, io), '/api/v1/pipelines');
    const { pipelines } = (await response.json()) as { pipelines: PipelineStatus[] };
    if (values['json'] === true) io.out(`${JSON.stringify(pipelines, null, 2)}\n`);
    else {
      const rows = pipelines.map(p => [
        p.name,
        p.state,
        p.source.topic,
        p.records,
        p.deadLetters.records,
        p.lag,
        p.reason ?? '',
      ]);
      io.out(table(['PIPELINE', 'STATE', 'SOURCE', 'IN', 'DEAD', 'LAG', 'REASON'], rows));
    }
    return EXIT.ok;
  },
};
