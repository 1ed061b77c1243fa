import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LogFields, Logger } from '../../../core/base/logger.ts';
import { readShape } from '../../../etl/sandbox/module-shape.ts';
import type { ChainStep, Sandbox } from '../../../etl/sandbox/sandbox.ts';
import { assemble, chainOf, guestText, moduleOf, stepOf } from './guests.ts';
import { batchOf, outputOf, taskOf, testSandbox, valuesOf } from './harness.ts';

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = testSandbox();
});
afterAll(() => sandbox.close());

const guest = moduleOf(assemble(guestText()));
const laneOf = (options: Partial<ChainStep> = {}) => sandbox.openLane(chainOf([stepOf(guest, options)]));
const run = (lane: ReturnType<typeof laneOf>, values: string[]) => lane.run(taskOf([batchOf(values)]));

test('the buffer that was handed in comes back', async () => {
  const lane = laneOf();
  const task = taskOf([batchOf(['a'])]);
  const { length } = task.batches;
  const result = await lane.run(task);
  expect(task.batches.length).toBe(0);
  expect(result.recycled?.byteLength).toBe(length);
  await lane.close();
});

test('tasks of a lane are answered in call order, also when some of them kill their thread', async () => {
  const lane = laneOf({ timeMs: 20 });
  const answered: number[] = [];
  const results = await Promise.all(
    Array.from({ length: 12 }, async (_, i) => {
      const result = await run(lane, i % 5 === 2 ? [`v${i}`, 'L', 'w'] : [`v${i}`]);
      answered.push(i);
      return valuesOf(outputOf(result));
    }),
  );
  expect(answered).toEqual(Array.from({ length: 12 }, (_, i) => i));
  expect(results.flat().filter(value => value !== 'w')).toEqual(Array.from({ length: 12 }, (_, i) => `v${i}`));
  await lane.close();
});

test('other lanes of a thread that is killed lose nothing and are blamed for nothing', async () => {
  const bad = laneOf({ timeMs: 20 });
  const good = Array.from({ length: 3 }, () => laneOf({ timeMs: 5000 }));
  const expected = Array.from({ length: 20 }, (_, i) => `v${i}`);
  const work = good.map(async lane => {
    const results = await Promise.all(expected.map(value => run(lane, [value])));
    expect(results.every(result => result.dead === null)).toBe(true);
    return valuesOf(results.flatMap(result => outputOf(result)));
  });
  const [loop, ...others] = await Promise.all([run(bad, ['a', 'L', 'L', 'b']), ...work]);
  expect(valuesOf(outputOf(loop))).toEqual(['a', 'b']);
  expect(others).toEqual([expected, expected, expected]);
  await Promise.all([bad, ...good].map(lane => lane.close()));
});

test('a chain that has killed its thread twice gets one of its own, and others do not wait for it any more', async () => {
  const own = testSandbox(1);
  const lane = (pipeline: string, timeMs: number) =>
    own.openLane({ ...chainOf([stepOf(guest, { timeMs })]), pipeline });
  const [bad, other, good] = [lane('bad', 50), lane('bad', 50), lane('good', 5000)];
  expect((await run(bad, ['L'])).dead?.letters).toMatchObject([{ code: 'TIMEOUT' }]);
  await run(good, ['a']);
  // All lanes of the pipeline have moved, and what spins in one of them keeps nobody else.
  const state = { spins: true };
  const spun = run(other, ['b', ...Array<string>(4).fill('L'), 'c']).finally(() => (state.spins = false));
  const results = [];
  while (state.spins && results.length < 20) results.push(await run(good, ['v']));
  expect(state.spins).toBe(true);
  expect(results.every(result => result.dead === null)).toBe(true);
  expect(valuesOf(outputOf(await spun))).toEqual(['b', 'c']);
  await Promise.all([bad, other].map(each => each.close()));
  // The next of that name begins among the others.
  const again = lane('bad', 50);
  expect(valuesOf(outputOf(await run(again, ['d'])))).toEqual(['d']);
  await own.close();
});

test('a module that grows its tables is stopped by their maximum', async () => {
  const module = moduleOf(
    assemble(
      guestText({
        extra: '(table $t 1 externref)',
        special: `(if (i32.eq (local.get $kind) (i32.const 87)) (then
          (loop $w (br_if $w (i32.ne (table.grow $t (ref.null extern) (i32.const 1000)) (i32.const -1))))
          (if (i32.gt_u (table.size $t) (i32.const 65536)) (then (loop $l (br $l))))
          (unreachable)))`,
      }),
    ),
  );
  const lane = sandbox.openLane(chainOf([stepOf(module)]));
  const result = await run(lane, ['a', 'W', 'b']);
  await lane.close();
  expect(valuesOf(outputOf(result))).toEqual(['a', 'b']);
  expect(result.dead?.letters).toMatchObject([{ offset: 1, code: 'TRAP' }]);
});

test('a module that fails only because of what came before blames nobody', async () => {
  // Traps on the 40th record of an instance, whichever that is.
  const special = '(if (i32.eq (global.get $seen) (i32.const 40)) (then (unreachable)))';
  for (const capabilities of [0, 1]) {
    const lane = sandbox.openLane(chainOf([stepOf(moduleOf(assemble(guestText({ capabilities, special }))))]));
    const values = Array.from({ length: 200 }, (_, i) => `v${i}`);
    const result = await run(lane, values);
    await lane.close();
    expect(valuesOf(outputOf(result))).toEqual(values);
    expect(result.dead).toBeNull();
  }
});

test('a module that stands still only because of what came before blames nobody', async () => {
  const special = '(if (i32.eq (global.get $seen) (i32.const 40)) (then (loop $l (br $l))))';
  for (const capabilities of [0, 1]) {
    const lane = sandbox.openLane(
      chainOf([stepOf(moduleOf(assemble(guestText({ capabilities, special }))), { timeMs: 10 })]),
    );
    const values = Array.from({ length: 90 }, (_, i) => `v${i}`);
    const result = await run(lane, values);
    expect(valuesOf(outputOf(result))).toEqual(values);
    expect(result.dead).toBeNull();
    await lane.close();
  }
});

describe('starting a module', () => {
  const starting = (init: string) =>
    moduleOf(assemble(guestText({ init: `(func (export "millstream_init") (param i32 i32) (result i32) ${init})` })));
  const refusing = starting(
    `(call $fail (i32.const -1) (i32.const 16) (i32.const 7) (i32.const 32) (i32.const 21)) (i32.const 1)`,
  );

  test('gives it its config, the outputs, topic, partition and step', async () => {
    // Init keeps the JSON at 1024; every record's value becomes that JSON: null key, length in two bytes, no headers.
    const init =
      '(memory.copy (i32.const 1024) (local.get 0) (local.get 1)) (global.set $kept (local.get 1)) (i32.const 0)';
    const special = `
      (i32.store8 (i32.const 4096) (i32.const 1))
      (i32.store8 (i32.const 4097) (i32.or (i32.shl (global.get $kept) (i32.const 1)) (i32.const 128)))
      (i32.store8 (i32.const 4098) (i32.shr_u (global.get $kept) (i32.const 6)))
      (memory.copy (i32.const 4099) (i32.const 1024) (global.get $kept))
      (i32.store8 (i32.add (i32.const 4099) (global.get $kept)) (i32.const 0))
      (call $emit (local.get $index) (i32.const 0) (i32.const 4096) (i32.add (global.get $kept) (i32.const 4)))
      (return)`;
    const text = guestText({
      extra: '(global $kept (mut i32) (i32.const 0))',
      init: `(func (export "millstream_init") (param i32 i32) (result i32) ${init})`,
      special,
    });
    const lane = sandbox.openLane(chainOf([stepOf(moduleOf(assemble(text)), { config: { a: [1, 'é'] } })]));
    const [value] = valuesOf(outputOf(await run(lane, ['x'])));
    await lane.close();
    expect(JSON.parse(value ?? '')).toEqual({
      config: { a: [1, 'é'] },
      outputs: ['default', 'suspect'],
      topic: 'orders.in',
      partition: 3,
      step: 'step',
    });
  });

  test('a config that the module refuses is an error of kind invalid with the module’s reason', async () => {
    const chain = chainOf([stepOf(refusing)]);
    const refusal = {
      kind: 'invalid',
      code: 'MODULE_INIT_FAILED',
      message: 'the module of step "step" does not start: this value is refused (REFUSED)',
    };
    await expect(sandbox.probe(chain)).rejects.toMatchObject(refusal);
    const lane = sandbox.openLane(chain);
    await expect(run(lane, ['a'])).rejects.toMatchObject(refusal);
    await expect(run(lane, ['a'])).rejects.toMatchObject(refusal);
    await lane.close();
  });

  test.each([
    ['traps', '(unreachable)', /unreachable/],
    ['never ends', '(loop $l (br $l)) (i32.const 0)', /CPU time|not ready/],
    ['answers with a number', '(i32.const 7)', /millstream_init returned 7/],
  ])('an init that %s is an error before any record is read', async (_how, init, says) => {
    const module = starting(init);
    const chain = chainOf([stepOf(module, { initTimeMs: 30 })]);
    await expect(sandbox.probe(chain)).rejects.toMatchObject({
      kind: 'invalid',
      code: 'MODULE_INIT_FAILED',
      message: expect.stringMatching(says),
    });
    const lane = sandbox.openLane(chain);
    await expect(run(lane, ['a'])).rejects.toMatchObject({
      kind: 'invalid',
      code: 'MODULE_INIT_FAILED',
      message: expect.stringMatching(says),
    });
    await lane.close();
    // Its neighbours do not notice.
    const healthy = laneOf();
    expect(valuesOf(outputOf(await run(healthy, ['a'])))).toEqual(['a']);
    await healthy.close();
  });

  test('a start function that never ends is found out', async () => {
    const module = moduleOf(assemble(guestText({ extra: '(start $s) (func $s (loop $l (br $l)))' })));
    await expect(sandbox.probe(chainOf([stepOf(module, { initTimeMs: 30 })]))).rejects.toMatchObject({
      code: 'MODULE_INIT_FAILED',
    });
  });

  test.each([
    [16, /capability 16 \(secrets\)/],
    [33, /capability 32 \(schemas\)/],
    [64, /unknown capability bits/],
    [-1, /capability/],
  ])('capability bits %i are refused', async (capabilities, says) => {
    const module = moduleOf(assemble(guestText({ capabilities })));
    await expect(sandbox.probe(chainOf([stepOf(module)]))).rejects.toMatchObject({
      code: 'MODULE_INIT_FAILED',
      message: expect.stringMatching(says),
    });
  });

  test('a module that V8 does not compile is refused', async () => {
    const bytes = Uint8Array.from(guest.bytes);
    // Where a function's last instruction was.
    bytes[(readShape(bytes).sections.find(each => each.id === 10)?.to as number) - 1] = 0xff;
    const lane = sandbox.openLane(chainOf([stepOf({ ...guest, bytes, sha256: 'f'.repeat(64) })]));
    await expect(run(lane, ['a'])).rejects.toMatchObject({
      kind: 'invalid',
      code: 'MODULE_REFUSED',
      message: expect.stringContaining('does not compile'),
    });
    await lane.close();
  });
});

test('what a module logs comes out with its step, at most 100 lines a second, and not for calls that failed', async () => {
  const lines: [string, LogFields | undefined][] = [];
  const collect = (message: string, fields?: LogFields): void => void lines.push([message, fields]);
  const logger: Logger = { debug: collect, info: collect, warn: collect, error: collect, with: () => logger };
  const own = testSandbox(1, logger);
  const special = '(call $log (i32.const 1) (i32.const 32) (i32.const 4))';
  const lane = own.openLane(chainOf([stepOf(moduleOf(assemble(guestText({ special }))))]));
  await lane.run(taskOf([batchOf(['a', 'b', 'T', 'c'])]));
  expect(lines).toEqual(Array.from({ length: 3 }, () => ['this', { pipeline: 'orders', step: 'step', partition: 3 }]));
  lines.length = 0;
  await lane.run(taskOf([batchOf(Array.from({ length: 5000 }, () => 'x'))]));
  expect(lines.length).toBeLessThan(1000);
  expect(lines.at(-1)?.[0]).toMatch(/logs too much/);
  await own.close();
});

test('a closed lane finishes what is queued and takes no more; a closed sandbox ends everything', async () => {
  const own = testSandbox();
  const lane = own.openLane(chainOf([stepOf(guest)]));
  const work = Array.from({ length: 10 }, (_, i) => run(lane, [`v${i}`]));
  const closing = lane.close();
  await expect(run(lane, ['late'])).rejects.toMatchObject({ kind: 'closed' });
  expect((await Promise.all(work)).flatMap(result => valuesOf(outputOf(result)))).toHaveLength(10);
  await closing;

  const stuck = own.openLane(chainOf([stepOf(guest, { timeMs: 60_000 })]));
  const never = [run(stuck, ['L']), ...Array.from({ length: 9 }, () => run(stuck, ['a']))].map(each =>
    expect(each).rejects.toMatchObject({ kind: 'closed' }),
  );
  await own.close();
  await Promise.all(never);
  expect(() => own.openLane(chainOf([stepOf(guest)]))).toThrow(/closed/);
});
