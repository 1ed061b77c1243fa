import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { componentize } from '@bytecodealliance/componentize-js';
import { expect, test } from 'vitest';
import { inspect } from '../../../etl/sandbox/inspect.ts';
import { assemble, chainOf, moduleOf, stepOf } from '../sandbox/guests.ts';
import { batchOf, outputOf, taskOf, testSandbox, valuesOf } from '../sandbox/harness.ts';

/* The world record-transform. test/etl/foreign has what a guest in Rust sees of it. */

async function run(bytes: Uint8Array, values: string[]) {
  const sandbox = testSandbox();
  try {
    const lane = sandbox.openLane(chainOf([stepOf(moduleOf(bytes), { timeMs: 1000, memoryBytes: 64 * 1024 * 1024 })]));
    const result = await lane.run(taskOf([batchOf(values)]));
    const letters = (result.dead?.letters ?? []).map(({ code, reason }) => ({ code, reason }));
    return { values: valuesOf(outputOf(result)), letters };
  } finally {
    await sandbox.close();
  }
}

const WITHOUT = ['stdio', 'random', 'clocks', 'http', 'fetch-event'] as const;
const SOURCE = `
export const capabilities = () => 0;
export const configure = () => {};
export function onRecord({ key, value, headers, offset }) {
  const text = new TextDecoder().decode(value);
  if (text === 'fail') throw { code: 'NOT_GOOD', reason: 'it says fail' };
  if (text === 'drop') return [];
  return [{ key, value: new TextEncoder().encode(text.toUpperCase() + ' ' + offset), headers }];
}
`;

test('a guest in JavaScript that knows nothing but transform.wit', { timeout: 240_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millstream-component-'));
  try {
    const sourcePath = join(folder, 'guest.js');
    await writeFile(sourcePath, SOURCE);
    const witWorld = await readFile(new URL('../../../etl/abi/transform.wit', import.meta.url), 'utf8');
    // As compile.ts of the SDK does: the types know only the form with a path.
    const options = { sourcePath, witWorld, worldName: 'record-transform', disableFeatures: [...WITHOUT] };
    const { component } = await componentize(options);
    expect(inspect(component)).toMatchObject({ abi: 'millstream-component', form: 'record-transform' });
    expect(await run(component, ['a', 'fail', 'drop', 'b'])).toEqual({
      values: ['A 0', 'B 3'],
      letters: [{ code: 'NOT_GOOD', reason: 'it says fail' }],
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** Answers with what `answer` has put at 64. */
const liar = (answer: string): Uint8Array =>
  assemble(`(module
  (memory (export "memory") 2)
  (global $free (mut i32) (i32.const 4096))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $free (i32.add (global.get $free) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -8))))
    (i32.sub (global.get $free) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -8))))
  (func (export "capabilities") (result i32) (i32.const 0))
  (func (export "configure") (param i32 i32) (result i32) (i32.const 32))
  (func (export "on-record") (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i64) (result i32)
    ${answer} (i32.const 64)))`);
const word = (at: number, value: number): string => `(i32.store (i32.const ${at}) (i32.const ${value}))`;

test.each([
  ['a list that lies outside of its memory', liar(word(68, 0x7fff0000) + word(72, 3)), 'BAD_POINTER'],
  ['a list that is longer than its memory', liar(word(68, 128) + word(72, -1)), 'BAD_POINTER'],
  ['more headers than there can be', liar(word(68, 128) + word(72, 1) + word(156, 1 << 24)), 'BAD_OUTPUT'],
  [
    'a value that lies outside',
    liar(word(68, 128) + word(72, 1) + word(140, 1) + word(144, -8) + word(148, 9)),
    'BAD_POINTER',
  ],
  ['an answer that lies outside', liar('(return (i32.const -4))'), 'BAD_POINTER'],
  ['a value without end', liar(word(68, 128) + word(72, 1 << 20)), 'BAD_POINTER'],
])('%s costs the record', async (_, bytes, code) => {
  expect((await run(bytes, ['x'])).letters).toMatchObject([{ code }]);
});
