import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'smol-toml';
import { afterAll, describe, expect, it } from 'vitest';
import { ModuleStore } from '../../etl/sandbox/module-store.ts';
import { readCases } from '../../server/modules/cases.ts';
import { runCases } from '../../server/modules/run-cases.ts';
import { testSandbox } from '../etl/sandbox/harness.ts';

/* The cases beside every module of the package, as `millstream module test` runs them. */

const modules = fileURLToPath(new URL('../../modules', import.meta.url));
const store = ModuleStore.load({ directories: [modules], parseToml: text => parse(text) });
const sandbox = testSandbox();
afterAll(() => sandbox.close());

const folders = readdirSync(modules, { withFileTypes: true }).flatMap(each => (each.isDirectory() ? [each.name] : []));
const withCases = folders.filter(name => existsSync(join(modules, name, 'cases.toml')));

it('every module has cases', () => {
  expect(withCases).toEqual(folders.filter(name => existsSync(join(modules, name, 'module.toml'))));
});

describe.each(withCases)('module %s', name => {
  const { name: called } = parse(readFileSync(join(modules, name, 'module.toml'), 'utf8')) as { name: string };
  const cases = readCases(join(modules, name, 'cases.toml'), `${name}/cases.toml`);

  it('does what its cases say, alone and in batches', async () => {
    const module = store.get(called);
    if (!module) throw new Error(`no module ${called}`);
    const results = await runCases(sandbox, module, cases);
    expect(results).toHaveLength(cases.length);
    expect(results.filter(({ failures }) => failures.length > 0)).toEqual([]);
  });
});
