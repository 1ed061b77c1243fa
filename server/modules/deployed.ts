import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../core/base/clock.ts';
import type { Disk } from '../../core/base/disk.ts';
import { makeDirectoryDurably } from '../../core/base/make-directory.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import { writeWhole } from '../../core/base/write-whole.ts';
import { inspect } from '../../etl/sandbox/inspect.ts';
import { compareVersions, checkModuleName, type NewModule, stateNeeds } from '../../etl/sandbox/module-store.ts';
import type { Abi, StoredModule } from '../../etl/sandbox/sandbox.ts';

/*
 * Modules that were deployed to a server, below its data directory:
 *
 *   <name>/<sha256>.wasm    the bytes as they were given
 *   <name>/versions.json    {active, versions: [{version, sha256, abi, form, size, deployed_at, description, redacts,
 *                           state_version, config_schema}]}, replaced as a whole: the point at which a deploy counts
 *
 * What a pipeline runs is the active version of a module that it names without one, from the commit after the deploy on.
 */

export interface DeployedVersion {
  version: string;
  sha256: string;
  abi: Abi;
  form: string | null;
  size: number;
  /** Milliseconds since the epoch. */
  deployed_at: number;
  description: string | null;
  redacts: boolean;
  /** Of the state that it keeps; absent: 1. */
  state_version?: number;
  config_schema?: object;
}

export interface DeployedModule {
  name: string;
  /** What a pipeline gets that names no version. */
  active: string;
  /** Oldest first. */
  versions: DeployedVersion[];
}

export type NewDeploy = Omit<NewModule, 'version'> & { version: string | null };

const FILE = 'versions.json';

export const deployedDirectory = (dataDirectory: string): string => join(dataDirectory, 'modules');

/** Every module in the folder, by name; none when there is no such folder. Kind `invalid`, code BAD_MODULE. */
export function readDeployed(directory: string): DeployedModule[] {
  let names: string[];
  try {
    names = readdirSync(directory, { withFileTypes: true }).flatMap(each => (each.isDirectory() ? [each.name] : []));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return names.toSorted().flatMap(name => {
    const file = join(directory, name, FILE);
    try {
      const { active, versions } = JSON.parse(readFileSync(file, 'utf8')) as Omit<DeployedModule, 'name'>;
      return [{ name, active, versions }];
    } catch (error) {
      // A deploy that did not come to its end left the folder.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw new MillstreamError('invalid', 'BAD_MODULE', `${file} cannot be read: ${String(error)}`, { cause: error });
    }
  });
}

/** The module with its bytes, which must be those that were deployed. Kind `invalid`, code BAD_MODULE. */
export function readVersion(directory: string, name: string, about: DeployedVersion): StoredModule {
  const file = join(directory, name, `${about.sha256}.wasm`);
  const bytes = readFileSync(file);
  if (createHash('sha256').update(bytes).digest('hex') !== about.sha256) {
    throw new MillstreamError('invalid', 'BAD_MODULE', `${file} does not hold the bytes that its name says`);
  }
  const { version, sha256, abi, form, description, redacts, config_schema: configSchema } = about;
  const state = stateNeeds(inspect(bytes), about.state_version);
  const schema = configSchema ? { configSchema } : {};
  return { name, version, sha256, abi, form, bytes, description, redacts, state, ...schema };
}

export interface DeployedModulesOptions {
  directory: string;
  disk: Disk;
  clock: Clock;
  /** Before it becomes the active version: throws when it cannot be run, or not by whoever would run it. */
  check: (module: StoredModule) => Promise<void>;
  /** A version has become the active one. */
  activated: (name: string) => Promise<void>;
}

/** Deploys, goes back and removes, one after the other; each is whole on the disk or has not happened. */
export class DeployedModules {
  private readonly options: DeployedModulesOptions;
  private readonly modules: Map<string, DeployedModule>;
  private turn: Promise<unknown> = Promise.resolve();

  constructor(options: DeployedModulesOptions) {
    this.options = options;
    this.modules = new Map(readDeployed(options.directory).map(each => [each.name, each]));
  }

  list(): DeployedModule[] {
    return [...this.modules.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(name: string): DeployedModule | null {
    return this.modules.get(name) ?? null;
  }

  /** As a pipeline gets it. Kind `invalid`, code BAD_MODULE. */
  read(name: string, about: DeployedVersion): StoredModule {
    return readVersion(this.options.directory, name, about);
  }

  /**
   * The bytes become the active version: the one they were before, the named one, or the next whole number. Kind
   * `invalid`, code MODULE_REFUSED; kind `conflict`, code VERSION_EXISTS when that version has other bytes.
   */
  deploy(bytes: Uint8Array, about: NewDeploy): Promise<DeployedVersion> {
    return this.inTurn(async () => {
      checkModuleName(about.name);
      const inspected = inspect(bytes);
      const { abi, form } = inspected;
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const before = this.modules.get(about.name) ?? { name: about.name, active: '', versions: [] };
      const known = before.versions.find(each => each.sha256 === sha256);
      if (known && (about.version === null || about.version === known.version)) {
        await this.activate(before, known);
        return known;
      }
      const version = about.version ?? nextVersion(before.versions);
      if (before.versions.some(each => each.version === version)) {
        const message = `\`${about.name}\` has a version ${version} already, of other bytes`;
        throw new MillstreamError('conflict', 'VERSION_EXISTS', message, {
          help: 'leave the version out, or raise it',
        });
      }
      const { description = null, redacts = false, stateVersion, configSchema } = about;
      const added: DeployedVersion = {
        version,
        sha256,
        abi,
        form,
        size: bytes.length,
        deployed_at: this.options.clock.now(),
        description,
        redacts,
        ...(stateVersion === undefined ? {} : { state_version: stateVersion }),
        ...(configSchema ? { config_schema: configSchema } : {}),
      };
      const state = stateNeeds(inspected, stateVersion);
      const schema = configSchema ? { configSchema } : {};
      const module = { name: about.name, version, sha256, abi, form, bytes, description, redacts, state, ...schema };
      await this.options.check(module);
      const { disk, directory } = this.options;
      const folder = join(directory, about.name);
      await makeDirectoryDurably(disk, folder);
      await writeWhole(disk, folder, `${sha256}.wasm`, bytes);
      await this.write({ ...before, active: version, versions: [...before.versions, added] });
      await this.options.activated(about.name);
      return added;
    });
  }

  /** The named version, or the one that was deployed before the active one. Kind `invalid`, codes UNKNOWN_MODULE,
   * UNKNOWN_VERSION. */
  rollback(name: string, version: string | null): Promise<DeployedModule> {
    return this.inTurn(async () => {
      const module = this.known(name);
      const at = module.versions.findIndex(each => each.version === module.active);
      const target = version === null ? module.versions[at - 1] : versionOf(module, version);
      if (!target) {
        const message = `version ${module.active} of \`${name}\` is the first: there is nothing to go back to`;
        throw new MillstreamError('invalid', 'UNKNOWN_VERSION', message);
      }
      return this.activate(module, target);
    });
  }

  /** One version, or all of them. Kind `conflict`, code VERSION_IN_USE: the active one stays while there are others. */
  remove(name: string, version: string | null): Promise<void> {
    return this.inTurn(async () => {
      const module = this.known(name);
      const { disk, directory } = this.options;
      if (version === null || module.versions.length === 1) {
        if (version !== null) versionOf(module, version);
        await disk.remove(join(directory, name, FILE));
        await disk.syncDirectory(join(directory, name));
        this.modules.delete(name);
        return disk.removeDirectory(join(directory, name));
      }
      const gone = versionOf(module, version);
      if (gone.version === module.active) {
        const message = `version ${version} of \`${name}\` is the active one`;
        const help = 'go back to another one first: `millstream module rollback`';
        throw new MillstreamError('conflict', 'VERSION_IN_USE', message, { help });
      }
      await this.write({ ...module, versions: module.versions.filter(each => each !== gone) });
      await disk.remove(join(directory, name, `${gone.sha256}.wasm`));
    });
  }

  private async activate(module: DeployedModule, version: DeployedVersion): Promise<DeployedModule> {
    await this.options.check(this.read(module.name, version));
    const written = await this.write({ ...module, active: version.version });
    await this.options.activated(module.name);
    return written;
  }

  private known(name: string): DeployedModule {
    const module = this.modules.get(name);
    if (module) return module;
    throw new MillstreamError('invalid', 'UNKNOWN_MODULE', `no module \`${name}\` was deployed here`);
  }

  private async write(module: DeployedModule): Promise<DeployedModule> {
    const { name, ...content } = module;
    const bytes = Buffer.from(`${JSON.stringify(content, null, 1)}\n`);
    await writeWhole(this.options.disk, join(this.options.directory, name), FILE, bytes);
    this.modules.set(name, module);
    return module;
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(work);
    this.turn = mine.catch(() => {});
    return mine;
  }
}

function versionOf(module: DeployedModule, version: string): DeployedVersion {
  const found = module.versions.find(each => each.version === version);
  if (found) return found;
  const help = `there are: ${module.versions.map(each => each.version).join(', ')}`;
  const message = `\`${module.name}\` has no version ${version}`;
  throw new MillstreamError('invalid', 'UNKNOWN_VERSION', message, { help });
}

/** 1, 2, 3, …: past whatever is there. */
function nextVersion(versions: readonly DeployedVersion[]): string {
  const newest =
    versions
      .map(each => each.version)
      .toSorted(compareVersions)
      .at(-1) ?? '0';
  return String(Number.parseInt(newest, 10) + 1);
}
