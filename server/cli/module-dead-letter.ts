import { MillstreamError } from '../../core/base/errors.ts';
import { ModuleStore } from '../../etl/sandbox/module-store.ts';
import type { ChainStep, Sandbox, StoredModule } from '../../etl/sandbox/sandbox.ts';
import { languageOf } from '../modules/language.ts';
import { moduleFolders } from '../modules/project-modules.ts';
import { openModule, runRecords } from '../modules/run-module.ts';
import { chainSteps, loadModules, pipelineFiles, readPipelineFile } from '../project.ts';
import type { Settings } from '../settings.ts';
import { EXIT, type Io, usageError, type Values } from './command.ts';
import { type Letter, lettersOf } from './dead-letter-topics.ts';
import { resultLines } from './module-results.ts';
import { withCluster } from './with-cluster.ts';

/**
 * Gives the record of a dead letter to the step's module again, with the config of the project's pipeline file, and shows
 * what comes of it. A module with sources here is compiled for this, with the names that make a stack readable.
 */
export async function reproduce(
  id: string,
  values: Values,
  io: Io,
  settings: Settings,
  sandbox: Sandbox,
): Promise<number> {
  const letter = await letterOf(id, values, io);
  const { step, outputs } = stepOf(letter, settings, io);
  const module = await debugModule(step.module, settings);
  io.err(`dead letter ${id}: ${letter.letter.code}, ${letter.letter.reason}\n`);
  if (letter.letter.sha256 !== null && !step.module.sha256.startsWith(letter.letter.sha256)) {
    io.err(`the module was ${letter.letter.sha256.slice(0, 12)} then and is ${step.module.sha256.slice(0, 12)} now\n`);
  }
  const lane = openModule(sandbox, { module, config: step.config, secrets: step.secrets ?? [], outputs, traces: true });
  try {
    const { results } = await runRecords(lane, outputs, [letter.given], 1);
    io.out(results.map(resultLines).join(''));
    return results.some(({ failed }) => failed !== null) ? EXIT.problems : EXIT.ok;
  } finally {
    await lane.close();
  }
}

async function letterOf(id: string, values: Values, io: Io): Promise<Letter> {
  const parts = id.split('/');
  const [pipeline = ''] = parts;
  if (parts.length !== 3) throw usageError(`a dead letter's ID is PIPELINE/STEP/TOPICID-PARTITION-OFFSET, not "${id}"`);
  const found = await withCluster(values, io, async cluster => {
    let last: Letter | null = null;
    for await (const letter of lettersOf(cluster, pipeline, io.signal)) if (letter.id === id) last = letter;
    return last;
  });
  if (!found) throw new MillstreamError('invalid', 'NO_SUCH_LETTER', `there is no dead letter ${id}`);
  if (found.letter.stage === 'step') return found;
  const message = `${found.letter.stage} \`${found.letter.name}\` refused it, and that is no module`;
  throw new MillstreamError('invalid', 'NO_STEP', message);
}

function stepOf({ letter }: Letter, settings: Settings, io: Io): { step: ChainStep; outputs: string[] } {
  const modules = loadModules(settings);
  for (const file of pipelineFiles(settings)) {
    const { plan } = readPipelineFile(file, modules, { mode: 'run', env: io.env, cwd: io.cwd });
    const step =
      plan?.name === letter.pipeline
        ? chainSteps(plan, modules, settings).find(({ name }) => name === letter.name)
        : undefined;
    if (plan && step) return { step, outputs: plan.outputs.map(({ name }) => name) };
  }
  const message = `no pipeline file here has a step \`${letter.name}\` in a pipeline \`${letter.pipeline}\``;
  const help = '`millstream pipeline lint` says what keeps a file from being read';
  throw new MillstreamError('invalid', 'UNKNOWN_STEP', message, { help });
}

async function debugModule(module: StoredModule, settings: Settings): Promise<StoredModule> {
  const where = moduleFolders(settings, []).find(({ name }) => name === module.name);
  const language = where && languageOf(where.folder);
  if (!where || !language) return module;
  return new ModuleStore().add(await language.compile(where.folder, { debug: true }), module);
}
