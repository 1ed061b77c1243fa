import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MillstreamError } from '../../core/base/errors.ts';
import { silentLogger } from '../../core/base/logger.ts';
import { readCases } from '../modules/cases.ts';
import { freshModule, type ModuleFolder, moduleFolders } from '../modules/project-modules.ts';
import { runCases } from '../modules/run-cases.ts';
import { requireSettings } from '../settings.ts';
import { type Command, EXIT, table, text, type Values } from './command.ts';
import { ask } from './http-client.ts';
import { withSandbox } from './module-results.ts';
import { SERVER_OPTION, serverOf } from './target.ts';

interface Version {
  version: string;
  sha256: string;
  abi: string;
  size: number;
  deployed_at: string;
  active: boolean;
  used_by: string[];
}
interface Shown {
  name: string;
  active: string;
  versions: Version[];
}

const path = (name: string): string => `/api/v1/wasm/modules/${encodeURIComponent(name)}`;

export const deploy: Command = {
  usage: 'module deploy NAME [--as VERSION] [--force] [--json]',
  summary: 'build a module, run its cases and make it the active version on a running server',
  words: [1, 1],
  options: {
    ...SERVER_OPTION,
    as: { type: 'string', help: 'the version (default: the next whole number)' },
    force: { type: 'boolean', help: 'also when cases fail' },
    json: { type: 'boolean', help: 'as JSON' },
  },
  async run(words, values, io) {
    const settings = requireSettings(text(values, 'config'), io.env, io.cwd);
    const [where] = moduleFolders(settings, words) as [ModuleFolder];
    const module = await freshModule(where);
    if (values['force'] !== true) await requireCases(where, module);
    const { name, bytes, description, redacts, state, configSchema } = module;
    const about = { description, redacts, state_version: state?.version, config_schema: configSchema };
    const manifest = JSON.stringify(about);
    const version = text(values, 'as');
    const response = await ask(serverOf(values, io), '/api/v1/wasm/modules', {
      method: 'POST',
      headers: {
        'content-type': 'application/octet-stream',
        'x-module-name': name,
        'x-module-manifest': Buffer.from(manifest).toString('base64'),
        ...(version === undefined ? {} : { 'x-module-version': version }),
      },
      body: Buffer.from(bytes),
    });
    const deployed = (await response.json()) as { version: string; sha256: string; abi: string };
    if (values['json'] === true) io.out(`${JSON.stringify({ name, ...deployed })}\n`);
    else io.out(`${name}@${deployed.version} is deployed and active: sha256 ${deployed.sha256.slice(0, 12)}\n`);
    io.err(
      `Pipelines that name \`${name}\` take it with their next commit. Back: millstream module rollback ${name}\n`,
    );
    return EXIT.ok;
  },
};

/** Kind `invalid`, code CASES_FAILED. */
async function requireCases(where: ModuleFolder, module: Awaited<ReturnType<typeof freshModule>>): Promise<void> {
  const file = join(where.folder, 'cases.toml');
  if (!existsSync(file)) return;
  const cases = readCases(file, `${where.shown}/cases.toml`);
  const results = await withSandbox(silentLogger, sandbox => runCases(sandbox, module, cases));
  const failed = results.filter(({ failures }) => failures.length > 0);
  if (failed.length === 0) return;
  const names = failed.map(({ name }) => `"${name}"`).join(', ');
  const help = `\`millstream module test ${where.name}\` shows how; --force deploys it all the same`;
  throw new MillstreamError('invalid', 'CASES_FAILED', `${failed.length} of its cases fail: ${names}`, { help });
}

export const show: Command = {
  usage: 'module show NAME [--json]',
  summary: 'show the versions of a module that were deployed to a running server',
  words: [1, 1],
  options: { ...SERVER_OPTION, json: { type: 'boolean', help: 'as JSON' } },
  async run([name = ''], values, io) {
    const response = await ask(serverOf(values, io), path(name));
    print((await response.json()) as Shown, values, io.out.bind(io));
    return EXIT.ok;
  },
};

export const rollback: Command = {
  usage: 'module rollback NAME [--to VERSION] [--json]',
  summary: 'make an older version of a deployed module the active one again',
  words: [1, 1],
  options: {
    ...SERVER_OPTION,
    to: { type: 'string', help: 'this version (default: the one that was deployed before the active one)' },
    json: { type: 'boolean', help: 'as JSON' },
  },
  async run([name = ''], values, io) {
    const version = text(values, 'to');
    const body = JSON.stringify(version === undefined ? {} : { version });
    const headers = { 'content-type': 'application/json' };
    const response = await ask(serverOf(values, io), `${path(name)}/rollback`, { method: 'POST', headers, body });
    print((await response.json()) as Shown, values, io.out.bind(io));
    return EXIT.ok;
  },
};

function print(shown: Shown, values: Values, out: (line: string) => void): void {
  if (values['json'] === true) return out(`${JSON.stringify(shown, null, 2)}\n`);
  const rows = shown.versions.map(each => [
    `${shown.name}@${each.version}`,
    each.active ? 'active' : '',
    each.sha256.slice(0, 12),
    each.abi,
    each.size,
    each.deployed_at,
    each.used_by.join(', '),
  ]);
  out(table(['VERSION', '', 'SHA256', 'ABI', 'BYTES', 'DEPLOYED', 'RUNS IN'], rows));
}
