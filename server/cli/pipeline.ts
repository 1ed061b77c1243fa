import { resolve } from 'node:path';
import { systemClock } from '../../core/base/clock.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import { silentLogger } from '../../core/base/logger.ts';
import { Metrics } from '../../core/base/metrics.ts';
import { hasErrors, renderDiagnostics } from '../../core/config/diagnostic.ts';
import { renderTests, runTests } from '../../etl/definition/run-tests.ts';
import type { PipelinePlan } from '../../etl/definition/plan.ts';
import type { ModuleStore } from '../../etl/sandbox/module-store.ts';
import { openSandbox } from '../../etl/sandbox/pool.ts';
import type { Abi } from '../../etl/sandbox/sandbox.ts';
import { chainSteps, loadModules, pipelineFiles, readPipelineFile, tomlFilesIn } from '../project.ts';
import type { PipelineStatus } from '../pipeline-status.ts';
import { requireSettings } from '../settings.ts';
import { type Command, EXIT, type Io, table, text, type Values } from './command.ts';
import { ask } from './http-client.ts';
import { SERVER_OPTION, serverOf } from './target.ts';

function filesOf(words: string[], values: Values, io: Io) {
  const settings = requireSettings(text(values, 'config'), io.env, io.cwd);
  const named = words.map(word => resolve(io.cwd, word)).flatMap(path => tomlFilesIn(path) ?? path);
  const files = words.length > 0 ? named : pipelineFiles(settings);
  if (files.length > 0) return { settings, files };
  const where = words.length > 0 ? words.join(', ') : `the folder ${settings.config.broker.pipelines_dir}`;
  throw new MillstreamError('invalid', 'NO_PIPELINES', `there is no pipeline file (*.toml) in ${where}`);
}

/** Which steps run modules of other systems, and what these are. */
function foreignSteps(plan: PipelinePlan | null, modules: ModuleStore): string[] {
  return (plan?.steps ?? []).flatMap(({ name, module }) => {
    const found = modules.get(module.name, module.version, module.sha256);
    const kind = found && FOREIGN[found.abi];
    return kind ? [`step ${name}: ${module.name} is a ${kind}, ${found.form}`] : [];
  });
}

const FOREIGN: Partial<Record<Abi, string>> = { redpanda: 'Redpanda transform', fluvio: 'Fluvio SmartModule' };

export const lint: Command = {
  usage: 'pipeline lint [FILE|FOLDER ...] [--json]',
  summary: 'check pipeline files, with line and column of what is wrong',
  words: [0, 1000],
  options: { json: { type: 'boolean', help: 'the findings as JSON' } },
  async run(words, values, io) {
    const { settings, files } = filesOf(words, values, io);
    const modules = loadModules(settings);
    const read = files.map(file => readPipelineFile(file, modules, { mode: 'lint', env: io.env, cwd: io.cwd }));
    const texts = new Map(read.map(each => [each.file, each.text]));
    const diagnostics = read.flatMap(each => each.diagnostics);
    if (values['json'] === true) io.out(`${JSON.stringify(diagnostics, null, 2)}\n`);
    else {
      if (diagnostics.length > 0) io.out(`${renderDiagnostics(diagnostics, file => texts.get(file))}\n`);
      for (const each of read) {
        if (hasErrors(each.diagnostics)) continue;
        io.out(`${each.file}: ok\n`);
        for (const line of foreignSteps(each.plan, modules)) io.out(`  ${line}\n`);
      }
    }
    return hasErrors(diagnostics) ? EXIT.problems : EXIT.ok;
  },
};

export const test: Command = {
  usage: 'pipeline test [FILE|FOLDER ...] [--only TEXT] [--json]',
  summary: "run the files' [[test]] cases through the real modules, without a broker",
  words: [0, 1000],
  options: {
    only: { type: 'string', help: 'only cases whose name holds this text' },
    json: { type: 'boolean', help: 'one JSON object a file' },
  },
  async run(words, values, io) {
    const { settings, files } = filesOf(words, values, io);
    const modules = loadModules(settings);
    const only = text(values, 'only');
    const sandbox = openSandbox({ workers: 1, clock: systemClock, logger: silentLogger, metrics: new Metrics() });
    let failed = false;
    try {
      for (const path of files) {
        const read = (env: Io['env']) => readPipelineFile(path, modules, { mode: 'lint', env, cwd: io.cwd });
        const { plan, file, diagnostics, text: source } = read(io.env);
        const results = plan
          ? await runTests(plan, {
              sandbox,
              read,
              chainSteps: each => chainSteps(each, modules, settings),
              ...(only === undefined ? {} : { only }),
            })
          : [];
        failed ||= !plan || results.some(result => result.failures.length > 0);
        if (values['json'] === true) io.out(`${JSON.stringify({ file, diagnostics, results })}\n`);
        else io.out(`${plan ? renderTests(file, results) : renderDiagnostics(diagnostics, () => source)}\n`);
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
    else if (pipelines.length === 0)
      io.err('no pipelines: put a .toml file into the pipelines folder and start again\n');
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
