import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { componentize } from '@bytecodealliance/componentize-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inspect } from '../../../etl/sandbox/inspect.ts';
import { assemble, chainOf, moduleOf, stepOf } from '../sandbox/guests.ts';
import { testSandbox } from '../sandbox/harness.ts';
import { Committed, runAll } from '../sandbox/state/fixture.ts';

/* State and timers of components: a guest in JavaScript that counts, and what a module may not be. */

const WITHOUT = ['stdio', 'random', 'clocks', 'http', 'fetch-event'] as const;
const SOURCE = `
import { get, put, scan } from 'millstream:transform/state@1.0.0';
import { set } from 'millstream:transform/timers@1.0.0';
const bytes = text => new TextEncoder().encode(text);
const text = bytes => new TextDecoder().decode(bytes);
export const capabilities = () => 0;
export const configure = () => {};
export function onRecord({ value, headers, timestamp }) {
  const word = text(value);
  const n = Number(text(get(bytes(word)) ?? bytes('0'))) + 1;
  put(bytes(word), bytes(String(n)));
  if (word === 'timer') set(timestamp + 1n, bytes('t'));
  if (word === 'fail') throw { code: 'NOT_GOOD', reason: 'it says fail' };
  if (word === 'all') return scan(bytes(''), undefined, 10).map(([key, v]) => ({ headers, value: bytes(text(key) + ':' + text(v)) }));
  return [{ headers, value: bytes(word + '=' + n) }];
}
export const onTimer = (time, key) => [{ headers: [], value: bytes('timer ' + text(key)) }];
`;
const sandbox = testSandbox();
let component: Uint8Array;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millstream-component-'));
  try {
    const sourcePath = join(folder, 'guest.js');
    await writeFile(sourcePath, SOURCE);
    const witWorld = await readFile(new URL('../../../etl/abi/transform.wit', import.meta.url), 'utf8');
    const worldName = 'record-transform-with-timers';
    const options = { sourcePath, witWorld, worldName, disableFeatures: [...WITHOUT] };
    ({ component } = await componentize(options));
  } finally {
    await rm(folder, { recursive: true });
  }
}, 240_000);
afterAll(() => sandbox.close());

test('a component that imports the interfaces keeps state and sets timers', () => {
  expect(inspect(component)).toMatchObject({ form: 'record-transform', stateful: true, timers: true });
});

test.each([1, 3, 7])('the same counts in tasks of %i; a failed record has written nothing', async size => {
  const step = stepOf(moduleOf(component), { timeMs: 5000, initTimeMs: 10_000, memoryBytes: 128 * 1024 * 1024 });
  const lane = sandbox.openLane(chainOf([step]));
  const done = new Committed();
  await runAll(lane, ['a', 'fail', 'a', 'timer', 'b', 'fail', 'all'], size, done);
  await lane.close();
  expect(done.outputs).toEqual(['a=1', 'a=2', 'timer=1', 'timer t', 'b=1', 'a:2', 'all:1', 'b:1', 'timer:1']);
  expect(done.letters).toEqual(['1 NOT_GOOD', '5 NOT_GOOD']);
});

test('a component that sets timers exports on-timer', () => {
  const bytes = assemble(`(module
    (import "millstream:transform/timers@1.0.0" "set" (func (param i64 i32 i32 i32)))
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8))
    (func (export "capabilities") (result i32) (i32.const 0))
    (func (export "configure") (param i32 i32) (result i32) (i32.const 32))
    (func (export "on-record") (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i64) (result i32) (i32.const 64)))`);
  expect(() => inspect(bytes)).toThrow(/does not export `on-timer`/);
});
