import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'smol-toml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fuelOf } from '../../../etl/abi/fuel.ts';
import { coreOf } from '../../../etl/sandbox/inspect.ts';
import { instrument } from '../../../etl/sandbox/instrument.ts';
import { meter } from '../../../etl/sandbox/fuel/meter.ts';
import { ModuleStore } from '../../../etl/sandbox/module-store.ts';
import type { Sandbox, StoredModule } from '../../../etl/sandbox/sandbox.ts';
import { readCases } from '../../../server/modules/cases.ts';
import { runCases } from '../../../server/modules/run-cases.ts';
import { chainOf, moduleOf, stepOf } from './guests.ts';
import { batchOf, outputOf, taskOf, testSandbox, valuesOf } from './harness.ts';

/* Modules as compilers make them: AssemblyScript, and Rust and Go where test/etl/guests was built. */

const MODULES = fileURLToPath(new URL('../../../modules/', import.meta.url));
const GUESTS = fileURLToPath(new URL('../guests/target/guests/', import.meta.url));
const wasmIn = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).flatMap(name =>
        name.endsWith('.wasm') ? [folder + name] : [],
      )
    : [];
const files = [...wasmIn(MODULES), ...wasmIn(GUESTS)].map(path => [path.split('/').at(-1) ?? '', path] as const);

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = testSandbox();
});
afterAll(() => sandbox.close());

test.each(files)('%s is as sound with fuel as without', (_name, path) => {
  const limited = instrument(coreOf(readFileSync(path)), 64 * 1024 * 1024);
  const metered = meter(limited);
  expect(WebAssembly.validate(limited)).toBe(true);
  expect(WebAssembly.validate(metered)).toBe(true);
  const [before, after] = [limited, metered].map(bytes => new WebAssembly.Module(bytes)) as [
    WebAssembly.Module,
    WebAssembly.Module,
  ];
  expect(WebAssembly.Module.imports(after)).toEqual(WebAssembly.Module.imports(before));
  const added = { name: 'millstream_fuel', kind: 'global' };
  expect(WebAssembly.Module.exports(after)).toEqual([...WebAssembly.Module.exports(before), added]);
});

const store = ModuleStore.load({ directories: [MODULES], parseToml: text => parse(text) });
const withFuel = (fuel: number): Sandbox => ({
  ...sandbox,
  openLane: (chain, state) =>
    sandbox.openLane({ ...chain, steps: chain.steps.map(step => ({ ...step, fuel })) }, state),
});

test.each(store.list().map(module => [module.name, module] as const))(
  '%s does what its cases say, with fuel',
  async (name, module) => {
    const cases = readCases(`${MODULES}${name}/cases.toml`, `${name}/cases.toml`);
    const results = await runCases(withFuel(10_000_000), module, cases);
    expect(results.length).toBeGreaterThan(0);
    expect(results.filter(({ failures }) => failures.length > 0)).toEqual([]);
  },
);

test('pii_scrubber without enough of it does none of its records', async () => {
  const module = store.get('pii_scrubber') as StoredModule;
  const config = { fields: ['customer.email'] };
  const values = Array.from({ length: 20 }, (_, i) => `{"customer":{"email":"ada${i}@example.com"}}`);
  const run = async (fuel: number) => {
    const lane = sandbox.openLane(chainOf([stepOf(module, { config, fuel, timeMs: 5000 })]));
    const result = await lane.run(taskOf([batchOf(values)]));
    await lane.close();
    return result;
  };
  expect((await run(100)).dead?.letters.map(({ offset, code }) => [offset, code])).toEqual(
    values.map((_, i) => [i, 'FUEL']),
  );
  const enough = await run(100_000);
  expect(enough.dead).toBeNull();
  expect(valuesOf(outputOf(enough))[0]).toBe('{"customer":{"email":"***"}}');
});

describe.skipIf(!existsSync(`${GUESTS}done`))('guests of other systems', () => {
  test.each([
    'redpanda-identity',
    'redpanda-abi1',
    'redpanda-mask',
    'redpanda-go',
    'fluvio-filter',
    'fluvio-map',
    'fluvio-filter_map',
    'fluvio-array_map',
    'fluvio-aggregate',
    'record-transform',
  ])('%s gives the same with enough fuel, and nothing with too little', async name => {
    if (!existsSync(`${GUESTS}${name}.wasm`)) return;
    const module = moduleOf(readFileSync(`${GUESTS}${name}.wasm`), name);
    const values = Array.from({ length: 30 }, (_, i) => (i % 3 === 0 ? `[${i},"an apple"]` : `${i}`));
    const run = async (fuel: number | null) => {
      const limits = { memoryBytes: 64 * 1024 * 1024, timeMs: 5000, initTimeMs: 10_000, fuel };
      const lane = sandbox.openLane(chainOf([stepOf(module, limits)]));
      const result = await lane.run(taskOf([batchOf(values)]));
      await lane.close();
      return { out: valuesOf(outputOf(result)), dead: result.dead?.letters ?? [] };
    };
    const without = await run(null);
    expect(without.out.length + without.dead.length).toBeGreaterThan(0);
    expect(await run(1_000_000_000)).toEqual(without);
    const { out, dead } = await run(20);
    expect(out).toEqual([]);
    // Who traps by itself says so, in the run that may use more.
    const ownCodes = new Map(without.dead.map(({ offset, code }) => [offset, code]));
    expect(dead.map(({ offset }) => offset)).toEqual(values.map((_, i) => i));
    expect(dead.filter(({ offset, code }) => code !== 'FUEL' && code !== ownCodes.get(offset))).toEqual([]);
  });
});

test('an instance has no fuel where its step has none', () => {
  expect(fuelOf({})).toBeNull();
  expect(fuelOf({}, null)).toBeNull();
});
