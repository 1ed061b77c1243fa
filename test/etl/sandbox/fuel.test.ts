import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ChainStep, Sandbox, StoredModule, TaskResult } from '../../../etl/sandbox/sandbox.ts';
import { assemble, chainOf, guestText, moduleOf, stepOf } from './guests.ts';
import { batchOf, outputOf, taskOf, testSandbox, valuesOf } from './harness.ts';

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = testSandbox();
});
afterAll(() => sandbox.close());

const FUEL = 100_000;
const REASON = `the module used more than ${FUEL} instructions for one record`;

/** A value `W5…` costs about 5 x 9,900 instructions more than others, `L` never ends. */
const WORK = `(if (i32.eq (local.get $kind) (i32.const 87)) (then
  (local.set $i (i32.mul (i32.const 1100) (i32.sub (i32.load8_u offset=3 (local.get $body)) (i32.const 48))))
  (loop $w (drop (i32.const 0)) (drop (i32.const 0))
    (br_if $w (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))))`;

const SPIN = '(loop $spin (br $spin))';
const transform = moduleOf(
  assemble(`(module
    (import "redpanda_transform" "check_abi_version_1" (func))
    (import "redpanda_transform" "read_batch_header"
      (func $header (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "redpanda_transform" "read_next_record" (func $next (param i32 i32 i32 i32 i32) (result i32)))
    (import "redpanda_transform" "write_record" (func $write (param i32 i32) (result i32)))
    (memory (export "memory") 2)
    (func (export "_start") (local $left i32) (local $size i32) (local $kind i32) (local $i i32) (local $body i32)
      (local.set $body (i32.const 1024))
      (loop $batches
        (drop (call $header (i32.const 0) (i32.const 8) (i32.const 12) (i32.const 16) (i32.const 20)
          (i32.const 24) (i32.const 32) (i32.const 40) (i32.const 48) (i32.const 52)))
        (local.set $left (i32.load (i32.const 8)))
        (loop $records
          (local.set $size (call $next (i32.const 56) (i32.const 64) (i32.const 72) (i32.const 1024) (i32.const 60000)))
          (local.set $kind (i32.load8_u (i32.const 1026)))
          (if (i32.eq (local.get $kind) (i32.const 76)) (then ${SPIN}))
          ${WORK}
          (drop (call $write (i32.const 1024) (local.get $size)))
          (br_if $records (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (br $batches))))`),
);
/** Its output is put together in place, of the input's own bytes; look_back works longer than any record may. */
const filter = moduleOf(
  assemble(`(module
    (import "env" "copy_records" (func $copy (param i32 i32)))
    (memory (export "memory") 2)
    (func (export "alloc") (param i32) (result i32) (i32.const 8192))
    (func (export "init") (param i32 i32 i32) (result i32) (local $i i32)
      (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000)))) (i32.const 0))
    (func (export "filter") (param $ptr i32) (param $len i32) (param i32) (result i32)
      (local $kind i32) (local $i i32) (local $body i32)
      (local.set $body (i32.add (local.get $ptr) (i32.const 20)))
      (local.set $kind (i32.load8_u offset=22 (local.get $ptr)))
      (if (i32.eq (local.get $kind) (i32.const 76)) (then ${SPIN}))
      ${WORK}
      (i32.store8 (i32.add (i32.const 8204) (i32.load8_u offset=11 (local.get $ptr))) (i32.const 0))
      (call $copy (i32.const 8204) (i32.add (i32.const 1) (i32.load8_u offset=11 (local.get $ptr))))
      (i32.const 1)))`),
);

const guests: [how: string, module: StoredModule][] = [
  ['a module that reports progress', moduleOf(assemble(guestText({ special: WORK })))],
  ['a module that reports nothing', moduleOf(assemble(guestText({ special: WORK, capabilities: 0 })))],
  ['a Redpanda transform', transform],
  ['a Fluvio SmartModule', filter],
];

/** What came out, and who is dead of what, when the values come in tasks of so many. */
async function run(module: StoredModule, values: string[], size: number, options: Partial<ChainStep> = {}) {
  const lane = sandbox.openLane(chainOf([stepOf(module, { fuel: FUEL, timeMs: 5000, ...options })]));
  const results: TaskResult[] = [];
  for (let at = 0; at < values.length; at += size) {
    results.push(await lane.run(taskOf([batchOf(values.slice(at, at + size), { baseOffset: at })])));
  }
  await lane.close();
  return {
    out: results.flatMap(result => valuesOf(outputOf(result))),
    dead: results
      .flatMap(result => result.dead?.letters ?? [])
      .map(({ offset, code, reason }) => ({ offset, code, reason })),
  };
}

describe.each(guests)('%s, with fuel', (_how, module) => {
  // W9: within its fuel; WA (17 x 9,900): alone more than it has, and less than two neighbours have who do nothing.
  const values = Array.from({ length: 40 }, (_, i) => `v${i}`);
  for (const at of [3, 20, 21, 39]) values[at] = `W9 ${at}`;
  const heavy = new Map([
    [0, 'WA first'],
    [8, 'L'],
    [9, 'L next to it'],
    [22, 'WA behind two that work'],
    [38, 'WA'],
  ]);
  for (const [at, value] of heavy) values[at] = value;

  test.each([1, 7, values.length])('in batches of %i the same records are out of fuel', async size => {
    const { out, dead } = await run(module, values, size);
    expect(dead).toEqual([...heavy.keys()].map(offset => ({ offset, code: 'FUEL', reason: REASON })));
    expect(out).toEqual(values.filter((_, i) => !heavy.has(i)));
  });

  test('enough fuel changes nothing', async () => {
    const fine = values.map(value => value.replace('L', 'l'));
    expect(await run(module, fine, 40, { fuel: 1e9 })).toEqual({ out: fine, dead: [] });
    expect(await run(module, fine, 40, { fuel: null })).toEqual({ out: fine, dead: [] });
    expect(await run(module, fine, 40, { fuel: Number.MAX_SAFE_INTEGER })).toEqual({ out: fine, dead: [] });
  });

  test('one instruction more or less decides, in every run', async () => {
    const diesWith = async (fuel: number): Promise<boolean> =>
      (await run(module, ['a', 'W1', 'b'], 3, { fuel })).dead.length > 0;
    let [least, most] = [0, FUEL];
    while (most - least > 1) {
      const middle = Math.floor((least + most) / 2);
      if (await diesWith(middle)) least = middle;
      else most = middle;
    }
    // 1,100 rounds of nine instructions, and a little.
    expect(most).toBeGreaterThan(1100 * 9);
    expect(most).toBeLessThan(1100 * 9 + 500);
    const again = testSandbox();
    const other = sandbox;
    sandbox = again;
    expect([await diesWith(least), await diesWith(most)]).toEqual([true, false]);
    sandbox = other;
    await again.close();
  });
});

describe('a module that does something once, with the first record of each instance', () => {
  /** So many rounds of nine instructions. */
  const lazy = (rounds: number): StoredModule => {
    const once = `(if (i32.eq (global.get $seen) (i32.const 1)) (then (local.set $i (i32.const ${rounds}))
      (loop $o (drop (i32.const 0)) (drop (i32.const 0))
        (br_if $o (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))))`;
    return moduleOf(assemble(guestText({ special: once + WORK })));
  };
  // A trap costs the instance: the record behind it is the first of the next one.
  const values = ['W9 first', 'a', 'W9', 'T', 'W9 behind a trap', 'b', 'WA', 'W9', 'L', 'W9', 'T', 'WA'];
  const codes = new Map([
    [3, 'TRAP'],
    [6, 'FUEL'],
    [8, 'FUEL'],
    [10, 'TRAP'],
    [11, 'FUEL'],
  ]);

  test.each([1, 7, values.length])('does not charge it to that record, in batches of %i', async size => {
    const { out, dead } = await run(lazy(100_000), values, size);
    expect(dead.map(({ offset, code }) => [offset, code])).toEqual([...codes]);
    expect(out).toEqual(values.filter((_, i) => !codes.has(i)));
  });

  test('has no more than four million instructions for it', async () => {
    const { out, dead } = await run(lazy(1_000_000), ['a', 'b'], 2);
    expect(out).toEqual([]);
    expect(dead.map(({ code }) => code)).toEqual(['FUEL', 'FUEL']);
  });
});

test('what becomes of the record is the step’s to say', async () => {
  const module = (guests[0] as (typeof guests)[number])[1];
  const values = ['a', 'L', 'b'];
  expect(await run(module, values, 3, { onError: 'drop' })).toEqual({ out: ['a', 'b'], dead: [] });
  expect(await run(module, values, 3, { onError: 'pass' })).toEqual({ out: values, dead: [] });
  const lane = sandbox.openLane(chainOf([stepOf(module, { fuel: FUEL, onError: 'stop' })]));
  const result = await lane.run(taskOf([batchOf(values)]));
  expect(valuesOf(outputOf(result))).toEqual(['a']);
  expect(result.stopped).toEqual({ step: 'step', offset: 1, code: 'FUEL', reason: REASON });
  await lane.close();
});

test('of two steps with the same module each has its own fuel, or none', async () => {
  const module = moduleOf(assemble(guestText({ special: WORK })));
  const chain = chainOf([
    stepOf(module, { name: 'much', fuel: 1e7, timeMs: 20 }),
    stepOf(module, { name: 'none', timeMs: 20 }),
    stepOf(module, { name: 'little', fuel: 20_000, timeMs: 20 }),
  ]);
  const lane = sandbox.openLane(chain);
  const result = await lane.run(taskOf([batchOf(['a', 'W3', 'L', 'W1', 'b'])]));
  await lane.close();
  expect(valuesOf(outputOf(result))).toEqual(['a', 'W1', 'b']);
  expect(result.dead?.letters).toMatchObject([
    { step: 'little', offset: 1, code: 'FUEL' },
    { step: 'much', offset: 2, code: expect.stringMatching(/FUEL|TIMEOUT/) },
  ]);
  const alone = sandbox.openLane(chainOf([stepOf(module, { timeMs: 20 })]));
  expect((await alone.run(taskOf([batchOf(['L'])]))).dead?.letters).toMatchObject([{ code: 'TIMEOUT' }]);
  await alone.close();
});

test('a module whose instructions are not all known is refused where it is to have fuel, and nowhere else', async () => {
  const atomic = '(func (drop (i32.atomic.load (i32.const 0))))';
  const module = moduleOf(assemble(guestText({ init: atomic })));
  await expect(sandbox.probe(chainOf([stepOf(module)]))).resolves.toBeUndefined();
  await expect(sandbox.probe(chainOf([stepOf(module, { fuel: FUEL })]))).rejects.toMatchObject({
    kind: 'invalid',
    code: 'MODULE_REFUSED',
    message: expect.stringContaining('0xfe, of threads'),
  });
});

test('what a module does before its first record is bounded by time, not by fuel', async () => {
  const init = (rounds: number): string => `(func (export "millstream_init") (param i32 i32) (result i32) (local $i i32)
    (loop $l (br_if $l (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const ${rounds})))) (i32.const 0))`;
  const slow = moduleOf(assemble(guestText({ init: init(1_000_000) })));
  expect(await run(slow, ['a', 'L', 'b'], 3)).toMatchObject({ out: ['a', 'b'], dead: [{ offset: 1, code: 'FUEL' }] });
  const endless = moduleOf(
    assemble(
      guestText({ init: `(func (export "millstream_init") (param i32 i32) (result i32) ${SPIN} (i32.const 0))` }),
    ),
  );
  await expect(sandbox.probe(chainOf([stepOf(endless, { fuel: FUEL, initTimeMs: 50 })]))).rejects.toMatchObject({
    code: 'MODULE_INIT_FAILED',
  });
});
