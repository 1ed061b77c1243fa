import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, resolve } from 'node:path';
import { MillstreamError } from '../core/base/errors.ts';
import { renderDiagnostics } from '../core/config/diagnostic.ts';
import { type LoadedConfig, loadConfig, type ServerConfig } from './config/load-config.ts';
import { maskSecrets } from './mask-secrets.ts';
import { readTextFile, shownPath } from './read-text-file.ts';

/** The configuration file as it was found, right or wrong. */
export interface FoundSettings {
  /** Its text is for showing: secrets in it are stars. */
  loaded: LoadedConfig;
  /** As it is shown, relative to `cwd` when it lies below; null: there is no file. */
  file: string | null;
  /** `data_dir`, `pipelines_dir`, `modules_dir` and relative paths in pipelines start here: the file's folder. */
  baseDirectory: string;
  /** Where the command runs. */
  cwd: string;
}

export interface Settings extends FoundSettings {
  config: ServerConfig;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Reads the file that `option` names, else `./millstream.toml` if there is one. */
export function findSettings(option: string | undefined, env: Env, cwd: string): FoundSettings {
  const path = resolve(cwd, option ?? 'millstream.toml');
  const found = option !== undefined || existsSync(path);
  const file = found ? shownPath(path, cwd) : null;
  const readFile = (name: string): string => readTextFile(resolve(cwd, name));
  const read = loadConfig({ file, env, readFile, cores: availableParallelism() });
  const loaded = { ...read, text: maskSecrets(read.text) };
  return { loaded, file, baseDirectory: found ? dirname(path) : cwd, cwd };
}

/** As findSettings; a file with errors throws kind `invalid`, code BAD_CONFIG, showing each with its line. */
export function requireSettings(option: string | undefined, env: Env, cwd: string): Settings {
  const found = findSettings(option, env, cwd);
  const { config, diagnostics, text } = found.loaded;
  if (config) return { ...found, config };
  const errors = diagnostics.filter(each => each.severity === 'error');
  const shown = renderDiagnostics(errors, file => (file === found.file ? text : undefined));
  throw new MillstreamError('invalid', 'BAD_CONFIG', `the configuration has errors\n${shown}`);
}
