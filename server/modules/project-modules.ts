import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { MillstreamError } from '../../core/base/errors.ts';
import { suggest } from '../../core/config/did-you-mean.ts';
import { ModuleStore } from '../../etl/sandbox/module-store.ts';
import type { StoredModule } from '../../etl/sandbox/sandbox.ts';
import { parseManifest } from '../project.ts';
import { shownPath } from '../read-text-file.ts';
import type { Settings } from '../settings.ts';
import { languageOf } from './language.ts';

/** A module of the project, with its sources. */
export interface ModuleFolder {
  name: string;
  folder: string;
  /** As it is shown, relative to where the command runs. */
  shown: string;
}

export function modulesDirectory({ config, baseDirectory }: Settings): string {
  return resolve(baseDirectory, config.broker.modules_dir);
}

/** The named ones (or those in the folders that are named), all of `modules_dir` without a name. Kind `invalid`, code
 * UNKNOWN_MODULE or NO_MODULES. */
export function moduleFolders(settings: Settings, words: readonly string[]): ModuleFolder[] {
  const directory = modulesDirectory(settings);
  const names = existsSync(directory)
    ? readdirSync(directory, { withFileTypes: true }).flatMap(each =>
        each.isDirectory() && existsSync(join(directory, each.name, 'module.toml')) ? [each.name] : [],
      )
    : [];
  if (words.length === 0 && names.length === 0) {
    const help = '`millstream module new NAME` makes one';
    throw new MillstreamError('invalid', 'NO_MODULES', `there is no module in ${directory}`, { help });
  }
  const of = (folder: string, name: string): ModuleFolder => ({ name, folder, shown: shownPath(folder, settings.cwd) });
  if (words.length === 0) return names.toSorted().map(name => of(join(directory, name), name));
  return words.map(word => {
    const folders = [join(directory, word), resolve(settings.cwd, word)];
    const folder = folders.find(each => existsSync(join(each, 'module.toml')));
    if (folder !== undefined) return of(folder, word);
    const help = suggest(word, names) ?? 'a module is a folder with a module.toml in `broker.modules_dir`';
    throw new MillstreamError('invalid', 'UNKNOWN_MODULE', `there is no module \`${word}\``, { help });
  });
}

export interface Built {
  module: StoredModule;
  milliseconds: number;
}

/** Compiles the sources and writes the .wasm that module.toml names. Kind `invalid`: BUILD_FAILED, COMPILER_MISSING,
 * NO_SOURCES, MODULE_REFUSED. */
export async function buildModule({ folder, shown }: ModuleFolder, options = { debug: false }): Promise<Built> {
  const language = languageOf(folder);
  if (!language) {
    const help = 'assembly/index.ts, src/index.js (or .ts), or Cargo.toml';
    throw new MillstreamError('invalid', 'NO_SOURCES', `there is nothing to compile in ${shown}`, { help });
  }
  const started = performance.now();
  const { file } = ModuleStore.manifest(folder, parseManifest);
  const bytes = await language.compile(folder, options);
  writeFileSync(join(folder, file), bytes);
  return { module: ModuleStore.loadOne(folder, parseManifest), milliseconds: performance.now() - started };
}

/** The module as it was built; compiled first when a source is newer than that. */
export async function freshModule(where: ModuleFolder): Promise<StoredModule> {
  if (languageOf(where.folder) && isStale(where.folder)) return (await buildModule(where)).module;
  return ModuleStore.loadOne(where.folder, parseManifest);
}

/** When the newest source was changed, in milliseconds since the epoch. */
export function sourcesChanged(folder: string): number {
  let newest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    const isSource =
      entry.isFile() && /\.(ts|js|rs|toml)$/.test(entry.name) && !/[\\/](target|node_modules)[\\/]/.test(path);
    // Cases are not compiled.
    if (isSource && entry.name !== 'cases.toml') newest = Math.max(newest, statSync(path).mtimeMs);
  }
  return newest;
}

function isStale(folder: string): boolean {
  const { file } = ModuleStore.manifest(folder, parseManifest);
  const path = join(folder, file);
  return !existsSync(path) || statSync(path).mtimeMs < sourcesChanged(folder);
}
