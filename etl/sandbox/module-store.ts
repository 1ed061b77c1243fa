import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { asMillstreamError, MillstreamError } from '../../core/base/errors.ts';
import { inspect, type Inspected } from './inspect.ts';
import { MAX_MODULE_BYTES } from './module-shape.ts';
import { refused } from './errors.ts';
import type { StoredModule } from './sandbox.ts';

export interface ModuleStoreOptions {
  /** Each holds `<module>/module.toml` and the .wasm beside it. Of the same name and version the later one wins. */
  directories: readonly string[];
  /** Where `module = "path/of/a.wasm"` begins; left out: where the process runs. */
  base?: string;
  /** Text to plain values; throws kind `invalid` when it is no TOML. */
  parseToml: (text: string, file: string) => unknown;
}

export interface NewModule {
  name: string;
  version: string;
  description?: string | null;
  redacts?: boolean;
  configSchema?: object;
  /** Of the state that it keeps; default 1. */
  stateVersion?: number;
}

const NAME = /^[a-z0-9][a-z0-9_.-]{0,62}$/;
const VERSION = /^\d[0-9A-Za-z.+-]{0,63}$/;

/** Modules by name, version and sha256. Every one of them has passed inspection. */
export class ModuleStore {
  private readonly modules = new Map<string, StoredModule>();
  /** By name, what a pipeline gets that names no version; left out: the newest. */
  private readonly active = new Map<string, StoredModule>();
  /** Single files, by the name that a pipeline gives them. */
  private readonly files = new Map<string, StoredModule>();
  private readonly base: string;

  constructor(base = '.') {
    this.base = base;
  }

  /** Reads all modules of all directories; a directory that does not exist holds none. Kind `invalid`, codes
   * BAD_MODULE (module.toml) and MODULE_REFUSED (the binary), with the file's name in the sentence. */
  static load(options: ModuleStoreOptions): ModuleStore {
    const store = new ModuleStore(options.base);
    for (const directory of options.directories) {
      for (const name of foldersIn(directory)) store.loadFolder(join(directory, name), options.parseToml);
    }
    return store;
  }

  /** The module in one folder; as `load` does it. Kind `invalid`, also when there is no module.toml. */
  static loadOne(folder: string, parseToml: ModuleStoreOptions['parseToml']): StoredModule {
    const store = new ModuleStore();
    store.loadFolder(folder, parseToml);
    const [module] = store.modules.values();
    if (!module) throw bad(`${join(folder, 'module.toml')}: there is no such file`);
    return module;
  }

  /** What a folder's module.toml says. Kind `invalid`, code BAD_MODULE. */
  static manifest(folder: string, parseToml: ModuleStoreOptions['parseToml']): NewModule & { file: string } {
    const file = join(folder, 'module.toml');
    const text = readIfThere(file);
    if (text === null) throw bad(`${file}: there is no such file`);
    return readManifest(parseToml(text.toString(), file), file);
  }

  /** The module of exactly this version, else the newest that fits: `version` may be a prefix ("1.2"), `sha256` the first
   * digits. Without either: the active one, if one was deployed. A name that ends with `.wasm` may be a file, which is read
   * with the first call. Throws kind `invalid`, code MODULE_REFUSED for what it holds. */
  get(name: string, version: string | null = null, sha256: string | null = null): StoredModule | null {
    const chosen = version === null ? this.active.get(name) : this.modules.get(`${name}@${version}`);
    if (chosen && sha256 === null) return chosen;
    const fitting = [...this.modules.values()].filter(
      module =>
        module.name === name &&
        (version === null || module.version === version || module.version.startsWith(`${version}.`)) &&
        (sha256 === null || module.sha256.startsWith(sha256)),
    );
    const [newest] = fitting.toSorted((a, b) => compareVersions(b.version, a.version));
    if (newest || !name.endsWith('.wasm')) return newest ?? null;
    const file = this.file(name);
    return file && (sha256 === null || file.sha256.startsWith(sha256)) ? file : null;
  }

  /** By name, newest first. */
  list(): StoredModule[] {
    return [...this.modules.values()].toSorted(
      (a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)) || compareVersions(b.version, a.version),
    );
  }

  /** Inspects and stores; one of the same name and version is replaced. Throws kind `invalid`. */
  add(bytes: Uint8Array, about: NewModule): StoredModule {
    checkNames(about, '');
    const module = stored(bytes, about);
    this.modules.set(`${module.name}@${module.version}`, module);
    return module;
  }

  /** Another store with these too, which were deployed. */
  with(deployed: readonly { module: StoredModule; isActive: boolean }[]): ModuleStore {
    const store = new ModuleStore(this.base);
    for (const [key, module] of this.modules) store.modules.set(key, module);
    for (const [key, module] of this.active) store.active.set(key, module);
    for (const { module, isActive } of deployed) store.addDeployed(module, isActive);
    return store;
  }

  /** Takes a module that was deployed; the active one of its name goes before whatever a folder holds. */
  addDeployed(module: StoredModule, isActive: boolean): void {
    this.modules.set(`${module.name}@${module.version}`, module);
    if (isActive) this.active.set(module.name, module);
  }

  /** A file without a module.toml; null when there is none. */
  private file(name: string): StoredModule | null {
    const known = this.files.get(name);
    if (known) return known;
    const path = resolve(this.base, name);
    try {
      const module = stored(readModule(path), { name, version: '0.0.0' });
      this.files.set(name, module);
      return module;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'EISDIR') return null;
      const { kind, code: named, message } = asMillstreamError(error);
      throw new MillstreamError(kind, named, `${name}: ${message}`, { cause: error });
    }
  }

  private loadFolder(folder: string, parseToml: ModuleStoreOptions['parseToml']): void {
    const file = join(folder, 'module.toml');
    const text = readIfThere(file);
    if (text === null) return;
    const about = readManifest(parseToml(text.toString(), file), file);
    const wasm = join(folder, about.file);
    try {
      this.add(readModule(wasm), about);
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      const why = code === 'ENOENT' ? 'the file does not exist (`millstream module build` makes it)' : message;
      const named = error instanceof MillstreamError ? error.code : 'BAD_MODULE';
      throw new MillstreamError('invalid', named, `${wasm}: ${why}`, { cause: error });
    }
  }
}

function readModule(wasm: string): Uint8Array {
  // Before it is read: a file of any size may lie there.
  const { size } = statSync(wasm);
  if (size > MAX_MODULE_BYTES) throw refused(`it has ${size} bytes, at most ${MAX_MODULE_BYTES} are allowed`);
  return readFileSync(wasm);
}

function stored(bytes: Uint8Array, about: NewModule): StoredModule {
  const { abi, form, stateful, timers } = inspect(bytes);
  return {
    name: about.name,
    version: about.version,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    abi,
    form,
    bytes,
    description: about.description ?? null,
    redacts: about.redacts ?? false,
    state: stateNeeds({ stateful, timers }, about.stateVersion),
    ...(about.configSchema ? { configSchema: about.configSchema } : {}),
  };
}

/** null: it keeps none. */
export function stateNeeds(
  { stateful, timers }: Pick<Inspected, 'stateful' | 'timers'>,
  version = 1,
): StoredModule['state'] {
  return stateful ? { version, timers } : null;
}

/** module.toml: name, version, description, file (default `<name>.wasm`), redacts, state_version, config_schema. */
function readManifest(value: unknown, file: string): NewModule & { file: string } {
  const table = value as Record<string, unknown>;
  const take = <T>(key: string, type: string, fallback: T): T => {
    const found = table[key];
    if (found === undefined) return fallback;
    // oxlint-disable-next-line valid-typeof
    if (typeof found !== type || found === null) throw bad(`${file}: ${key} must be a ${type}`);
    return found as T;
  };
  const name = take<string>('name', 'string', '');
  if (name === '') throw bad(`${file}: name is missing`);
  const version = take<string>('version', 'string', '0.0.0');
  checkNames({ name, version }, `${file}: `);
  const configSchema = take<object | null>('config_schema', 'object', null);
  const stateVersion = take<number>('state_version', 'number', 1);
  if (!Number.isSafeInteger(stateVersion) || stateVersion < 1) throw bad(`${file}: state_version is 1, 2, 3, …`);
  const wasm = take<string>('file', 'string', `${name}.wasm`);
  if (wasm.includes('/') || wasm.includes('\\')) throw bad(`${file}: file must lie beside module.toml`);
  return {
    name,
    version,
    description: take<string | null>('description', 'string', null),
    redacts: take<boolean>('redacts', 'boolean', false),
    stateVersion,
    file: wasm,
    ...(configSchema ? { configSchema } : {}),
  };
}

/** Kind `invalid`, code BAD_MODULE. */
export function checkModuleName(name: string, where = ''): void {
  if (!NAME.test(name)) throw bad(`${where}"${name}" is no module name: a-z, 0-9, _, -, . are allowed`);
}

function checkNames({ name, version }: { name: string; version: string }, where: string): void {
  checkModuleName(name, where);
  if (!VERSION.test(version)) throw bad(`${where}"${version}" is no version; write for example 1.0.0`);
}

function foldersIn(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries
      .filter(entry => entry.isDirectory())
      .map(entry => entry.name)
      .toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function readIfThere(file: string): Buffer | null {
  try {
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** As Semantic Versioning 2.0 orders them (section 11), as far as a version is one. */
export function compareVersions(a: string, b: string): number {
  const [aMain = '', aPre = ''] = splitVersion(a);
  const [bMain = '', bPre = ''] = splitVersion(b);
  const main = compareParts(aMain, bMain);
  if (main !== 0) return main;
  // A pre-release comes before its release.
  if (aPre === '' || bPre === '') return Number(aPre === '') - Number(bPre === '');
  return compareParts(aPre, bPre);
}

function splitVersion(version: string): string[] {
  const [plain = ''] = version.split('+');
  const dash = plain.indexOf('-');
  return dash < 0 ? [plain] : [plain.slice(0, dash), plain.slice(dash + 1)];
}

function compareParts(a: string, b: string): number {
  const left = a.split('.');
  const right = b.split('.');
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const [l, r] = [left[i] ?? '', right[i] ?? ''];
    const numbers = /^\d+$/.test(l) && /^\d+$/.test(r);
    const order = numbers ? Number(l) - Number(r) : l < r ? -1 : Number(l > r);
    if (order !== 0) return order;
  }
  return 0;
}

function bad(message: string): MillstreamError {
  return new MillstreamError('invalid', 'BAD_MODULE', message);
}
