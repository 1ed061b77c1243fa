import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Sandbox } from '../../../etl/sandbox/sandbox.ts';
import { assemble, chainOf, moduleOf, stepOf } from './guests.ts';
import { batchOf, outputOf, taskOf, testSandbox, valuesOf } from './harness.ts';

/* Modules of other systems in WebAssembly text: the limits hold for them whatever toolchain there is (see test/etl/foreign). */

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = testSandbox();
});
afterAll(() => sandbox.close());

/** A transform that copies; `start` runs first, `record` for each record, whose value begins at 1026 behind a null key. */
function transform(start: string, record = ''): Uint8Array {
  return assemble(`(module
    (import "redpanda_transform" "check_abi_version_1" (func))
    (import "redpanda_transform" "read_batch_header"
      (func $header (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "redpanda_transform" "read_next_record" (func $next (param i32 i32 i32 i32 i32) (result i32)))
    (import "redpanda_transform" "write_record" (func $write (param i32 i32) (result i32)))
    (memory (export "memory") 2)
    (func (export "_start") (local $left i32) (local $size i32)
      ${start}
      (loop $batches
        (drop (call $header (i32.const 0) (i32.const 8) (i32.const 12) (i32.const 16) (i32.const 20)
          (i32.const 24) (i32.const 32) (i32.const 40) (i32.const 48) (i32.const 52)))
        (local.set $left (i32.load (i32.const 8)))
        (loop $records
          (local.set $size (call $next (i32.const 56) (i32.const 64) (i32.const 72) (i32.const 1024) (i32.const 60000)))
          ${record}
          (drop (call $write (i32.const 1024) (local.get $size)))
          (br_if $records (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (br $batches))))`);
}

/** A filter that keeps everything; an output of one record is put together in place, of the input's own bytes. */
function filter(more: string, body = ''): Uint8Array {
  return assemble(`(module
    (import "env" "copy_records" (func $copy (param i32 i32)))
    (memory (export "memory") 2)
    (func (export "alloc") (param i32) (result i32) (i32.const 8192))
    ${more}
    (func (export "filter") (param $ptr i32) (param $len i32) (param i32) (result i32)
      ${body}
      ;; Behind base offset and byte length lies the list of records; behind the value, the byte 0 of its headers.
      (i32.store8 (i32.add (i32.const 8204) (i32.load8_u offset=11 (local.get $ptr))) (i32.const 0))
      (call $copy (i32.const 8204) (i32.add (i32.const 1) (i32.load8_u offset=11 (local.get $ptr))))
      (i32.const 1)))`);
}

const spin = '(loop $spin (br $spin))';
const chain = (bytes: Uint8Array, more = {}) => chainOf([stepOf(moduleOf(bytes), { initTimeMs: 100, ...more })]);

test.each([
  ['a transform whose start never asks for a record', transform(spin), {}],
  [
    'a SmartModule whose init never returns',
    filter(`(func (export "init") (param i32 i32 i32) (result i32) ${spin} (i32.const 0))`),
    {},
  ],
])('%s does not start', async (_what, bytes, more) => {
  await expect(sandbox.probe(chain(bytes, more))).rejects.toMatchObject({
    kind: 'invalid',
    code: 'MODULE_INIT_FAILED',
    message: expect.stringContaining('100 ms'),
  });
});

test('a SmartModule whose look_back never returns ends its lane with that, not its records', async () => {
  const bytes = filter(`(func (export "look_back") (param i32 i32 i32) (result i32) ${spin} (i32.const 0))`);
  const lane = sandbox.openLane(chain(bytes, { lookBack: { last: 5, ageMs: null } }));
  const task = lane.run(taskOf([batchOf(['a', 'b'])], { from: 1 }));
  await expect(task).rejects.toMatchObject({ code: 'MODULE_INIT_FAILED' });
  await lane.close();
});

test.each([
  ['transform', transform('', `(if (i32.eq (i32.load8_u (i32.const 1026)) (i32.const 76)) (then ${spin}))`)],
  // Base offset, byte length, count; then length, attributes, two deltas, no key, value length.
  ['SmartModule', filter('', `(if (i32.eq (i32.load8_u offset=22 (local.get $ptr)) (i32.const 76)) (then ${spin}))`)],
])('a record that makes a %s loop is the one that is condemned, among a thousand', async (_kind, bytes) => {
  const lane = sandbox.openLane(chain(bytes));
  const values = Array.from({ length: 1000 }, (_, i) => (i === 500 || i === 501 ? `L${i}` : `v${i}`));
  const result = await lane.run(taskOf([batchOf(values)]));
  await lane.close();
  expect(valuesOf(outputOf(result))).toEqual(values.filter(value => !value.startsWith('L')));
  expect(result.dead?.letters).toMatchObject([
    { offset: 500, code: 'TIMEOUT' },
    { offset: 501, code: 'TIMEOUT' },
  ]);
});

test('records that a transform leaves unread are given to it again, and none is lost', async () => {
  const hasty = '(drop (call $write (i32.const 1024) (local.get $size))) (br $batches)';
  const lane = sandbox.openLane(chain(transform('', hasty)));
  const values = Array.from({ length: 20 }, (_, i) => `v${i}`);
  const result = await lane.run(taskOf([batchOf(values)]));
  await lane.close();
  expect(valuesOf(outputOf(result))).toEqual(values);
  expect(result.dead).toBeNull();
});

test('lanes of all kinds take turns in one worker, each in its own order', async () => {
  const lanes = [transform(''), filter(''), transform('')].map(bytes => sandbox.openLane(chain(bytes)));
  const tasks = lanes.map(lane =>
    Promise.all(
      Array.from({ length: 20 }, (_, i) => lane.run(taskOf([batchOf([`a${i}`, `b${i}`], { baseOffset: 2 * i })]))),
    ),
  );
  const expected = Array.from({ length: 20 }, (_, i) => [`a${i}`, `b${i}`]).flat();
  for (const results of await Promise.all(tasks)) {
    expect(results.flatMap(result => valuesOf(outputOf(result)))).toEqual(expected);
  }
  await Promise.all(lanes.map(lane => lane.close()));
});
