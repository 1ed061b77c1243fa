import { afterAll, beforeAll, expect, test } from 'vitest';
import { fromDeadRecord } from '../../../core/engine/dead-letter.ts';
import { readRecords } from '../../../core/engine/records.ts';
import type { ChainStep, Sandbox } from '../../../etl/sandbox/sandbox.ts';
import { assemble, chainOf, guestText, moduleOf, stepOf } from './guests.ts';
import { batchOf, outputOf, record, taskOf, testSandbox, valuesOf } from './harness.ts';
import { encodeBatch } from '../../../core/engine/records.ts';

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = testSandbox();
});
afterAll(() => sandbox.close());

const guest = moduleOf(assemble(guestText()));
const withTombstones = moduleOf(assemble(guestText({ capabilities: 3 })));

function laneOf(...steps: Partial<ChainStep>[]) {
  return sandbox.openLane(chainOf(steps.map((step, i) => stepOf(guest, { name: `s${i}`, ...step }))));
}

test('on_error = "drop" leaves the offenders out and counts them', async () => {
  const lane = laneOf({ onError: 'drop' });
  const result = await lane.run(taskOf([batchOf(['a', 'T1', 'b', 'F2', 'D3'])]));
  await lane.close();
  expect(valuesOf(outputOf(result))).toEqual(['a', 'b']);
  expect(result.dead).toBeNull();
  expect(result.steps[0]).toMatchObject({ in: 5, emitted: 2, dropped: 3, passed: 0, dead: 0, out: 2 });
});

test('on_error = "pass" lets the offenders through unchanged, in their places, with a header that says why', async () => {
  const lane = laneOf({ onError: 'pass' }, { name: 'second' });
  const headers = [['a', Buffer.from('1')]] as const;
  const batch = encodeBatch([record('a'), record('T1', { headers }), record('b'), record('F2')]);
  const result = await lane.run(taskOf([batch]));
  await lane.close();
  // The second step is given them, too, and refuses them by its own policy.
  expect(valuesOf(outputOf(result))).toEqual(['a', 'b']);
  const dead = readRecords(result.dead?.batch as Uint8Array);
  expect(valuesOf(dead)).toEqual(['T1', 'F2']);
  expect(result.steps[0]).toMatchObject({ in: 4, emitted: 2, dropped: 0, passed: 2, dead: 0, out: 4 });
});

test('a record that was passed on keeps its key, value, timestamp and other headers', async () => {
  const lane = laneOf({ onError: 'pass' });
  const headers = [
    ['a', Buffer.from('1')],
    ['millstream.error', Buffer.from('old')],
  ] as const;
  const batch = encodeBatch([record('a'), record('T1', { headers, timestamp: 5 }), record('F2')]);
  const out = outputOf(await lane.run(taskOf([batch])));
  await lane.close();
  expect(valuesOf(out)).toEqual(['a', 'T1', 'F2']);
  expect(out[1]).toMatchObject({ timestamp: 5, key: null });
  expect(out[1]?.headers.map(([name, value]) => [name, Buffer.from(value ?? []).toString()])).toEqual([
    ['a', '1'],
    ['millstream.error', 'TRAP: the module trapped: unreachable'],
  ]);
  expect(out[2]?.headers.map(([name, value]) => [name, Buffer.from(value ?? []).toString()])).toEqual([
    ['millstream.error', 'REFUSED: this value is refused'],
  ]);
});

test('on_error = "stop" gives out what comes before the offender and runs nothing behind it', async () => {
  const lane = laneOf({}, { onError: 'stop', name: 'strict' });
  const tasks = [
    lane.run(taskOf([batchOf(['a', 'b'], { baseOffset: 10 })])),
    lane.run(taskOf([batchOf(['c', 'R4', 'F5', 'd'], { baseOffset: 12 })])),
    lane.run(taskOf([batchOf(['e'], { baseOffset: 16 })])),
  ];
  const [first, second, third] = await Promise.all(tasks);
  await lane.close();
  expect(first?.stopped).toBeNull();
  // The first step fails F5 by its policy, so the second never sees it: everything goes on.
  expect(second?.stopped).toBeNull();
  expect(third?.stopped).toBeNull();
  expect(second?.dead?.letters).toMatchObject([{ step: 's0', offset: 14 }]);
});

test('a stop names the record, and what is behind it stays unprocessed in this and later tasks', async () => {
  const lane = laneOf({ onError: 'stop' }, { name: 'second' });
  const tasks = [
    lane.run(taskOf([batchOf(['c', 'R4', 'T5', 'd'], { baseOffset: 12 })])),
    lane.run(taskOf([batchOf(['e'], { baseOffset: 16 })])),
  ];
  const [first, second] = await Promise.all(tasks);
  await lane.close();
  const stopped = { step: 's0', offset: 14, code: 'TRAP', reason: 'the module trapped: unreachable' };
  expect(first).toMatchObject({ records: 2, stopped });
  expect(valuesOf(outputOf(first as never))).toEqual(['c']);
  expect(valuesOf(outputOf(first as never, 1))).toEqual(['R4']);
  expect(first?.steps).toMatchObject([
    { in: 2, emitted: 2 },
    { in: 1, emitted: 1 },
  ]);
  expect(second).toMatchObject({ records: 0, outputs: [], dead: null, stopped });
});

test('a record that never ends stops the step whose policy is stop', async () => {
  const lane = laneOf({ onError: 'stop', timeMs: 20 });
  const result = await lane.run(taskOf([batchOf(['a', 'L', 'b'], { baseOffset: 5 })]));
  await lane.close();
  expect(result.stopped).toMatchObject({ step: 's0', offset: 6, code: 'TIMEOUT' });
  expect(valuesOf(outputOf(result))).toEqual(['a']);
});

test('max_failures in a row turns the policy into stop, across tasks, and a good record in between starts anew', async () => {
  const lane = laneOf({ maxFailuresInARow: 3 });
  const run = (values: string[], baseOffset: number) => lane.run(taskOf([batchOf(values, { baseOffset })]));
  const results = await Promise.all([
    run(['F', 'F', 'a', 'F'], 0),
    run(['T'], 4),
    run(['b', 'F'], 5),
    run(['F', 'F', 'c'], 7),
  ]);
  await lane.close();
  expect(results.map(result => result.stopped?.offset ?? null)).toEqual([null, null, null, 8]);
  expect(results[3]?.dead?.letters.map(letter => letter.offset)).toEqual([7]);
  expect(results[3]?.stopped?.reason).toContain('3 records in a row failed');
});

test('failures in a row are remembered when the thread was replaced in between', async () => {
  const lane = laneOf({ maxFailuresInARow: 3, timeMs: 20 });
  const run = (values: string[], baseOffset: number) => lane.run(taskOf([batchOf(values, { baseOffset })]));
  const results = await Promise.all([run(['a', 'F'], 0), run(['L'], 2), run(['F'], 3)]);
  await lane.close();
  expect(results.map(result => result.stopped?.offset ?? null)).toEqual([null, null, 3]);
});

test('a dead letter of a later step carries what that step was given, when it differs from the source', async () => {
  const lane = laneOf({ onError: 'pass' }, { name: 'second' });
  const result = await lane.run(taskOf([batchOf(['a', 'T', 'F'], { baseOffset: 70 })]));
  await lane.close();
  const [first, second] = readRecords(result.dead?.batch as Uint8Array);
  expect(second?.value && Buffer.from(second.value).toString()).toBe('F');
  expect(first?.value && Buffer.from(first.value).toString()).toBe('T');
  const letter = fromDeadRecord(first as never);
  expect(letter).toMatchObject({ name: 'second', offset: 71, index: 0 });
  expect(Buffer.from(letter?.input as Uint8Array).toString()).toContain('millstream.error');
});

test('letters of one record that an earlier step doubled have different ids', async () => {
  const doubling = moduleOf(
    assemble(
      guestText().replaceAll('(i32.const 84)', '(i32.const 1000)').replaceAll('(i32.const 50)', '(i32.const 84)'),
    ),
  );
  const lane = sandbox.openLane(chainOf([stepOf(doubling, { name: 'double' }), stepOf(guest, { name: 'second' })]));
  const result = await lane.run(taskOf([batchOf(['a', 'T'])]));
  await lane.close();
  const ids = readRecords(result.dead?.batch as Uint8Array).map(letter =>
    Buffer.from(letter.headers.find(([name]) => name === 'millstream.dl.id')?.[1] ?? []).toString(),
  );
  expect(ids).toEqual([
    'orders/second/0123456789abcdef0123456789abcdef-3-1',
    'orders/second/0123456789abcdef0123456789abcdef-3-1-1',
  ]);
});

test('tombstones go around a module that does not take them, in their places', async () => {
  const lane = laneOf({}, {});
  const result = await lane.run(taskOf([batchOf([null, 'a', null, 'T', null, null, 'R', 'b', null])]));
  await lane.close();
  expect(valuesOf(outputOf(result))).toEqual([null, 'a', null, null, null, 'b', null]);
  expect(result.records).toBe(9);
  expect(result.steps[0]).toMatchObject({ in: 4, emitted: 3, dead: 1, out: 3 });
  expect(result.steps[1]).toMatchObject({ in: 2, emitted: 2, out: 2 });
});

test('tombstones behind the last record that failed go on', async () => {
  const lane = laneOf({});
  const result = await lane.run(taskOf([batchOf(['F', 'a', 'T', null, null])]));
  await lane.close();
  expect(valuesOf(outputOf(result))).toEqual(['a', null, null]);
  expect(result.dead?.letters.map(letter => letter.offset)).toEqual([0, 2]);
  expect(result.steps[0]).toMatchObject({ in: 3, emitted: 1, dead: 2, out: 1 });
});

test('tombstones reach a module that takes them', async () => {
  const lane = laneOf({ module: withTombstones });
  const result = await lane.run(taskOf([batchOf([null, 'a', null])]));
  await lane.close();
  expect(valuesOf(outputOf(result))).toEqual([null, 'a', null]);
  expect(result.steps[0]).toMatchObject({ in: 3, emitted: 3, out: 3 });
});

test('an empty value is no tombstone', async () => {
  const lane = laneOf({});
  const result = await lane.run(taskOf([batchOf(['', 'a'])]));
  await lane.close();
  expect(valuesOf(outputOf(result))).toEqual(['', 'a']);
  expect(result.steps[0]).toMatchObject({ in: 2, emitted: 2 });
});
