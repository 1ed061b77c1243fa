import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sinkConnectors, sourceConnectors } from '../connectors/index.ts';
import { MillstreamError } from '../core/base/errors.ts';
import { type Diagnostic, hasErrors, renderDiagnostics } from '../core/config/diagnostic.ts';
import { parseToml } from '../core/config/toml.ts';
import type { ModuleCatalog } from '../etl/definition/module-ref.ts';
import type { PipelinePlan } from '../etl/definition/plan.ts';
import { type ReadOptions, type ReadResult, readPipeline } from '../etl/definition/read-pipeline.ts';
import type { ShadowPlan } from '../etl/runner/shadow.ts';
import { ModuleStore } from '../etl/sandbox/module-store.ts';
import type { ChainStep, StoredModule } from '../etl/sandbox/sandbox.ts';
import { deployedDirectory, readDeployed, readVersion } from './modules/deployed.ts';
import { maskSecrets } from './mask-secrets.ts';
import { type ProducedTopicPlan, producedTopics } from './on-produce.ts';
import { readTextFile, shownPath } from './read-text-file.ts';
import { readSchemas } from './schema-files.ts';
import type { Settings } from './settings.ts';

/*
 * A Millstream project on disk: the modules and the pipeline files that the configuration points to. Commands lint and
 * test what `start` runs, through the same reader.
 */

/** First try of a module's start function and init; not configurable (DESIGN 3). */
const INIT_TIME_MS = 10_000;
/** The package's own modules are always there; one of the same name in `modules_dir` wins. */
const OWN_MODULES = fileURLToPath(new URL('../modules', import.meta.url));

export interface ReadPipelineFile extends ReadResult {
  /** As it is shown: relative to where the command runs. So are the files in `diagnostics`. */
  file: string;
  /** For showing lines of it: secrets are stars. */
  text: string;
}

export interface RunnablePipeline {
  plan: PipelinePlan;
  steps: ChainStep[];
  shadows: ShadowPlan[];
}

/** The modules of `modules_dir`, over the package's own. */
export function folderModules({ config, baseDirectory }: Settings): ModuleStore {
  return ModuleStore.load({
    directories: [...new Set([OWN_MODULES, resolve(baseDirectory, config.broker.modules_dir)])],
    base: baseDirectory,
    parseToml: parseManifest,
  });
}

/** The same, and over them what was deployed. */
export function loadModules(settings: Settings): ModuleStore {
  const { config, baseDirectory } = settings;
  const store = folderModules(settings);
  const deployed = deployedDirectory(resolve(baseDirectory, config.broker.data_dir));
  for (const { name, active, versions } of readDeployed(deployed)) {
    for (const each of versions) store.addDeployed(readVersion(deployed, name, each), each.version === active);
  }
  return store;
}

/** A module.toml's plain values. Kind `invalid`, code BAD_MODULE. */
export function parseManifest(text: string, file: string): unknown {
  const { document, diagnostics } = parseToml(text, file);
  if (document) return document.value;
  const shown = renderDiagnostics(diagnostics, () => text);
  throw new MillstreamError('invalid', 'BAD_MODULE', shown);
}

/** `pipelines_dir`'s .toml files, absolute and sorted; none when there is no such folder. */
export function pipelineFiles({ config, baseDirectory }: Settings): string[] {
  return tomlFilesIn(resolve(baseDirectory, config.broker.pipelines_dir)) ?? [];
}

/** A folder's .toml files, absolute and sorted; null when there is no such folder. */
export function tomlFilesIn(directory: string): string[] | null {
  try {
    const names = readdirSync(directory).filter(name => name.endsWith('.toml'));
    return names.toSorted().map(name => join(directory, name));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
}

export function catalogOf(modules: ModuleStore): ModuleCatalog {
  return {
    find: (name, version, sha256) => modules.get(name, version, sha256),
    names: () => [...new Set(modules.list().map(module => module.name))],
  };
}

/** Reads one file with the connectors that exist. One that cannot be read is a finding too. */
export function readPipelineFile(
  path: string,
  modules: ModuleStore,
  options: Pick<ReadOptions, 'mode' | 'env'> & { cwd: string },
): ReadPipelineFile {
  const file = shownPath(path, options.cwd);
  let text: string;
  try {
    text = readTextFile(path);
  } catch (error) {
    const message = `cannot be read: ${(error as Error).message}`;
    const diagnostics: Diagnostic[] = [{ file, line: 0, column: 0, severity: 'error', message }];
    return { file, text: '', plan: null, diagnostics, unresolved: [], secrets: [] };
  }
  const schemas = <C extends { config: import('zod').ZodType }>(types: Map<string, C>) =>
    new Map([...types].map(([type, connector]) => [type, connector.config]));
  const { diagnostics, ...result } = readPipeline(text, path, {
    mode: options.mode,
    env: options.env,
    readFile: readTextFile,
    sinkTypes: schemas(sinkConnectors()),
    sourceTypes: schemas(sourceConnectors()),
    modules: catalogOf(modules),
  });
  const shown = diagnostics.map(each => (each.file === path ? { ...each, file } : each));
  return { file, text: maskSecrets(text, result.secrets), ...result, diagnostics: shown };
}

/** The plan's steps with their modules, within the server's limits. Kind `invalid`, code BAD_SCHEMA for [schemas]. */
export function chainSteps(plan: PipelinePlan, modules: ModuleStore, settings: Settings): ChainStep[] {
  return plan.steps.map(step => {
    const module = modules.get(step.module.name, step.module.version, step.module.sha256);
    if (!module) throw new MillstreamError('invalid', 'UNKNOWN_MODULE', `there is no module \`${step.module.name}\``);
    return chainStep(step, module, settings);
  });
}

/** The same of one step, with this module. */
export function chainStep(step: PipelinePlan['steps'][number], module: StoredModule, settings: Settings): ChainStep {
  const { etl, schemas } = settings.config;
  const registered =
    schemas.dir !== null && module.abi === 'redpanda'
      ? readSchemas(resolve(settings.baseDirectory, schemas.dir))
      : null;
  return {
    name: step.name,
    module,
    config: step.config,
    secrets: step.secrets,
    onError: step.onError,
    memoryBytes: Math.min(step.memoryBytes, etl.memory_limit_bytes),
    timeMs: Math.min(step.timeMs, etl.execution_timeout_ms),
    initTimeMs: INIT_TIME_MS,
    ...(step.fuel === undefined ? {} : { fuel: step.fuel }),
    ...(step.stateBytes === undefined ? {} : { stateBytes: step.stateBytes }),
    maxFailuresInARow: step.maxFailuresInARow,
    ...(step.lookBack && { lookBack: step.lookBack }),
    ...(registered && { schemas: registered }),
  };
}

function shadowsOf(plan: PipelinePlan, modules: ModuleStore, settings: Settings): ShadowPlan[] {
  return plan.steps.flatMap((step, i) => {
    const { shadow } = step;
    const module = shadow && modules.get(shadow.module.name, shadow.module.version, shadow.module.sha256);
    return shadow && module ? [{ step: i, with: chainStep(step, module, settings), sample: shadow.sample }] : [];
  });
}

/** Everything that `start` runs. Kind `invalid`, code BAD_PIPELINE when a file has errors: all of them are shown. */
export function loadProject(
  settings: Settings,
  env: ReadOptions['env'],
): { pipelines: RunnablePipeline[]; produced: ProducedTopicPlan[]; warnings: string[] } {
  const files = pipelineFiles(settings);
  let loaded: ModuleStore | null = null;
  const store = (): ModuleStore => (loaded ??= loadModules(settings));
  const producedBeside = (plans: readonly PipelinePlan[]): ProducedTopicPlan[] =>
    producedTopics(settings.config, store, (step, module) => chainStep(step, module, settings), plans);
  if (files.length === 0) return { pipelines: [], produced: producedBeside([]), warnings: [] };
  const modules = store();
  const read = files.map(file => readPipelineFile(file, modules, { mode: 'run', env, cwd: settings.cwd }));
  const texts = new Map(read.map(each => [each.file, each.text]));
  const diagnostics = read.flatMap(each => each.diagnostics);
  const shown = (severity: Diagnostic['severity']): string =>
    renderDiagnostics(
      diagnostics.filter(each => each.severity === severity),
      file => texts.get(file),
    );
  if (hasErrors(diagnostics)) {
    throw new MillstreamError('invalid', 'BAD_PIPELINE', `a pipeline file has errors\n${shown('error')}`);
  }
  const plans = read.flatMap(each => each.plan ?? []);
  refuseTwins(plans);
  const warnings = shown('warning');
  return {
    pipelines: plans.map(plan => ({
      plan,
      steps: chainSteps(plan, modules, settings),
      shadows: shadowsOf(plan, modules, settings),
    })),
    produced: producedBeside(plans),
    warnings: warnings === '' ? [] : [warnings],
  };
}

function refuseTwins(plans: readonly PipelinePlan[]): void {
  const byName = new Map<string, PipelinePlan>();
  for (const plan of plans) {
    const twin = byName.get(plan.name);
    if (twin) {
      throw new MillstreamError(
        'invalid',
        'BAD_PIPELINE',
        `${twin.file} and ${plan.file} both name their pipeline \`${plan.name}\``,
      );
    }
    byName.set(plan.name, plan);
  }
}
