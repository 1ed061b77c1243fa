import { afterAll, beforeAll, expect, test } from 'vitest';
import { STATE_INTERFACE, TIMERS_INTERFACE } from '../../../etl/abi/component-state.ts';
import { inspect } from '../../../etl/sandbox/inspect.ts';
import { assemble, chainOf, moduleOf, stepOf } from '../sandbox/guests.ts';
import { testSandbox } from '../sandbox/harness.ts';
import { componentKeeper } from '../sandbox/state/component-keeper.ts';
import { Committed, runAll } from '../sandbox/state/fixture.ts';

/* State and timers of components: a guest in JavaScript that counts, and what a module may not be. */

const sandbox = testSandbox();
let component: Uint8Array;

beforeAll(async () => {
  component = await componentKeeper();
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

/** A component's core module, in text, which does this at configure (0) or at its records (1). */
const asks = (when: 0 | 1, call: string, imported = '', more = ''): Uint8Array =>
  assemble(`(module
    ${imported}
    (import "${STATE_INTERFACE}" "get" (func $get (param i32 i32 i32)))
    (import "${STATE_INTERFACE}" "put" (func $put (param i32 i32 i32 i32 i32)))
    (import "${STATE_INTERFACE}" "scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32)))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $next (i32.add (global.get $next) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -8))))
      (i32.sub (global.get $next) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -8))))
    (func (export "capabilities") (result i32) (i32.const 0))
    (func (export "configure") (param i32 i32) (result i32) ${when === 0 ? call : ''} (i32.const 32))
    (func (export "on-record") (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i64) (result i32)
      ${when === 1 ? call : ''} (i32.const 64))
    ${more})`);

test.each([
  ['a key beyond the memory', '(call $get (i32.const 65530) (i32.const 10) (i32.const 128))'],
  ['a length that wraps around', '(call $get (i32.const 8) (i32.const -1) (i32.const 128))'],
  ['an answer beyond the memory', '(call $get (i32.const 8) (i32.const 1) (i32.const 65534))'],
  ['a value beyond the memory', '(call $put (i32.const 8) (i32.const 1) (i32.const -4) (i32.const 8) (i32.const 128))'],
  [
    'the answer of a put beyond it',
    '(call $put (i32.const 8) (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 65535))',
  ],
  [
    'a prefix beyond it',
    '(call $scan (i32.const 70000) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 128))',
  ],
])('%s is the fault of its record', async (_, call) => {
  const lane = sandbox.openLane(chainOf([stepOf(moduleOf(asks(1, call)))]));
  const done = new Committed();
  await runAll(lane, ['a'], 1, done);
  await lane.close();
  expect(done.letters).toEqual(['0 BAD_POINTER']);
});

test('a put that is refused says why, and asking while it is configured is no start', async () => {
  // A key without a byte: case 0 of the enum; the trap tells that it came.
  const refused = `(call $put (i32.const 8) (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 128))
    (if (i32.ne (i32.load16_u (i32.const 128)) (i32.const 1)) (then (unreachable)))`;
  const lane = sandbox.openLane(chainOf([stepOf(moduleOf(asks(1, refused)))]));
  const done = new Committed();
  await runAll(lane, ['a'], 1, done);
  await lane.close();
  expect(done.letters).toEqual([]);
  const early = asks(0, '(call $get (i32.const 8) (i32.const 1) (i32.const 128))');
  await expect(sandbox.probe(chainOf([stepOf(moduleOf(early))]))).rejects.toThrow(/asked for its state while/);
});

test.each([
  ['on-record', 'i32 i32 i32 i32 i32 i32 i32 i32 i64 i64', 'on-timer'],
  ['on-frame', 'i32 i32', 'on-timers'],
])('a component of the world of %s that sets timers exports what they call', (call, parameters, onTimer) => {
  const bytes = assemble(`(module
    (import "millstream:transform/timers@1.0.0" "set" (func (param i64 i32 i32 i32)))
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8))
    (func (export "capabilities") (result i32) (i32.const 0))
    (func (export "configure") (param i32 i32) (result i32) (i32.const 32))
    (func (export "${call}") (param ${parameters}) (result i32) (i32.const 64)))`);
  expect(() => inspect(bytes)).toThrow(`does not export \`${onTimer}\``);
});

test('timers that an older version has set come to nothing where there is no on-timer any more', async () => {
  const [set, now] = ['set" (func $set (param i64 i32 i32 i32)))', 'now" (func $now (result i64)))'];
  const module = (imported: string, call: string, more: string): Uint8Array =>
    asks(1, call, `(import "${TIMERS_INTERFACE}" "${imported}`, more);
  const after5 = '(call $set (i64.add (local.get 8) (i64.const 5)) (i32.const 8) (i32.const 1) (i32.const 128))';
  const onTimer = '(func (export "on-timer") (param i64 i32 i32) (result i32) (i32.const 64))';
  const done = new Committed();
  const older = sandbox.openLane(chainOf([stepOf(moduleOf(module(set, after5, onTimer)))]));
  await runAll(older, ['a'], 1, done);
  await older.close();
  const timersOf = () => Object.keys(done.changelog).filter(key => key.startsWith('t/'));
  expect(timersOf()).toHaveLength(1);
  // What its memory begins with would be a failure, if a call that is not there had said so.
  const newer = module(now, '(drop (call $now))', '(data (i32.const 0) "\\01")');
  const lane = sandbox.openLane(chainOf([stepOf(moduleOf(newer))]), done.state);
  await runAll(lane, ['b'], 1, done, 100);
  await lane.close();
  expect(done.letters).toEqual([]);
  expect(timersOf()).toEqual([]);
});
