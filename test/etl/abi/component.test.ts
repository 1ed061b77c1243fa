import { describe, expect, it } from 'vitest';
import { encodeBatch } from '../../../core/engine/records.ts';
import { inspect } from '../../../etl/sandbox/inspect.ts';
import { leb } from '../../../etl/sandbox/wasm-reader.ts';
import { assemble, chainOf, moduleOf, stepOf } from '../sandbox/guests.ts';
import { outputOf, record, taskOf, testSandbox, valuesOf } from '../sandbox/harness.ts';

/** Core modules in the wrapping of a component: the preamble, and a section of kind 1 for each. */
function componentOf(...modules: Uint8Array[]): Uint8Array {
  const sections = modules.flatMap(bytes => [Uint8Array.from([1, ...leb(bytes.length)]), bytes]);
  return Buffer.concat([Buffer.from('0061736d0d000100', 'hex'), ...sections]);
}

/** Gives back the input frame as the output of one record: its first body, under an output header written in place. */
const guest = (
  options: { configure?: string; onFrame?: string; imported?: string; capabilities?: string } = {},
): Uint8Array =>
  assemble(`(module
  (import "millstream:transform/host@1.0.0" "fail" (func $fail (param i32 i32 i32 i32 i32)))
  ${options.imported ?? ''}
  (memory (export "memory") 4)
  (global $posts (mut i32) (i32.const 0))
  (data (i32.const 64) "no such luck")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
  (func (export "capabilities") (result i32) (i32.const ${options.capabilities ?? '0'}))
  (func (export "configure") (param i32 i32) (result i32)
    (i32.store8 (i32.const 16) (i32.const 0)) ${options.configure ?? ''} (i32.const 16))
  (func (export "cabi_post_on-frame") (param i32) (global.set $posts (i32.add (global.get $posts) (i32.const 1))))
  (func (export "on-frame") (param $at i32) (param $length i32) (result i32)
    (local $body i32)
    ;; Only an instance whose results were given back before goes on.
    (if (i32.eq (global.get $posts) (i32.const 9)) (then (unreachable)))
    (i32.store8 (i32.const 32) (i32.const 0))
    (i32.store (i32.const 36) (i32.const 131072))
    (local.set $body (i32.load offset=28 (local.get $at)))
    (i32.store (i32.const 131072) (i32.const 524289))
    (i32.store offset=4 (i32.const 131072) (i32.const 1))
    (i64.store offset=8 (i32.const 131072) (i64.const 0))
    (i32.store offset=16 (i32.const 131072) (local.get $body))
    (memory.copy (i32.const 131092) (i32.add (local.get $at) (i32.const 44)) (local.get $body))
    (i32.store (i32.const 40) (i32.add (i32.const 20) (local.get $body)))
    ${options.onFrame ?? ''} (i32.const 32))
)`);

const refuse = (at: number) =>
  `(i32.store8 (i32.const ${at}) (i32.const 1)) (i32.store (i32.const ${at + 4}) (i32.const 64)) (i32.store (i32.const ${at + 8}) (i32.const 12))`;

async function run(bytes: Uint8Array, values: string[]) {
  const sandbox = testSandbox();
  try {
    const lane = sandbox.openLane(chainOf([stepOf(moduleOf(bytes))]));
    const out = [];
    for (const value of values) out.push(await lane.run(taskOf([encodeBatch([record(value)])])));
    return out;
  } finally {
    await sandbox.close();
  }
}

describe('a WebAssembly component of the world frame-transform', () => {
  it('runs as its core module does', async () => {
    const bytes = componentOf(guest(), assemble('(module (func (export "join")))'));
    expect(inspect(bytes).abi).toBe('millstream-component');
    const results = await run(bytes, ['a', 'b']);
    expect(results.flatMap(result => valuesOf(outputOf(result)))).toEqual(['a', 'b']);
  });

  it('is given back what it returned before it is called again', async () => {
    const values = Array.from({ length: 12 }, (_, i) => String(i));
    const results = await run(componentOf(guest()), values);
    // The tenth call finds nine results given back: that instance traps, and a fresh one takes the record.
    expect(results.flatMap(result => valuesOf(outputOf(result)))).toEqual(values);
  });

  it('refuses a configuration with the error of its result', async () => {
    await expect(run(componentOf(guest({ configure: refuse(16) })), ['a'])).rejects.toMatchObject({
      code: 'MODULE_INIT_FAILED',
      message: expect.stringContaining('no such luck (INVALID_CONFIG)'),
    });
  });

  it('fails a record that is alone in a frame with the error of its result', async () => {
    const [result] = await run(componentOf(guest({ onFrame: refuse(32) })), ['a']);
    expect(result?.dead?.letters).toMatchObject([{ code: 'FAILED', reason: 'no such luck' }]);
  });

  it('traps when its result lies outside of its memory', async () => {
    const [result] = await run(componentOf(guest({ onFrame: '(return (i32.const -4))' })), ['a']);
    expect(result?.dead?.letters).toMatchObject([{ code: 'TRAP' }]);
  });

  it.each([
    ['nothing that works', componentOf(assemble('(module)')), 'a WebAssembly component of 0 working core modules'],
    ['two modules that work', componentOf(guest(), guest()), 'a WebAssembly component of 2 working core modules'],
    ['another world', componentOf(assemble('(module (memory (export "memory") 1))')), 'neither on-frame nor on-record'],
    [
      'a world that is not whole',
      componentOf(assemble('(module (memory (export "memory") 1) (func (export "on-frame")))')),
      'a guest of frame-transform without `cabi_realloc`',
    ],
    [
      'imports of the system',
      componentOf(guest({ imported: '(import "wasi:clocks/wall-clock@0.2.0" "now" (func (param i32)))' })),
      'it imports `wasi:clocks/wall-clock@0.2.0`.now',
    ],
    ['a section that runs past the end', componentOf(guest()).subarray(0, 200), 'no sound WebAssembly component'],
  ])('is refused with %s', (_name, bytes, said) => {
    expect(() => inspect(bytes)).toThrow(said);
  });
});
