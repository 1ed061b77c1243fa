import { afterAll, beforeAll, expect, test } from 'vitest';
import { readOrigins } from '../../../core/engine/lineage.ts';
import type { ChainStep, Sandbox, TaskResult } from '../../../etl/sandbox/sandbox.ts';
import { assemble, chainOf, guestText, moduleOf, stepOf } from './guests.ts';
import { batchOf, outputOf, taskOf, testSandbox, valuesOf } from './harness.ts';

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = testSandbox();
});
afterAll(() => sandbox.close());

const guest = moduleOf(assemble(guestText()));
const OUTPUTS = ['default', 'other'].map(name => ({
  name,
  topic: name,
  rehashPartitions: null,
  codec: 'none' as const,
}));

async function run(values: string[], steps: Partial<ChainStep>[] = [{}], baseOffset = 0): Promise<TaskResult> {
  const chain = steps.map((step, i) => stepOf(guest, { name: `s${i}`, ...step }));
  const lane = sandbox.openLane(chainOf(chain, OUTPUTS));
  const result = await lane.run(taskOf([batchOf(values, { baseOffset })]));
  await lane.close();
  return result;
}

const originsIn = (result: TaskResult, route = 0) => {
  const output = result.outputs.find(each => each.route === route);
  return output?.origins ? readOrigins(output.origins, output.records) : null;
};

test('every output record is mapped to the source record it comes from', async () => {
  const result = await run(['a', 'D', '2', 'Rx', 'F', 'b', 'Ry', '2'], [{ onError: 'dead_letter' }], 5000);
  expect(valuesOf(outputOf(result))).toEqual(['a', '2', '2', 'b', '2', '2']);
  expect(originsIn(result)).toEqual([5000, 5002, 5002, 5005, 5007, 5007]);
  expect(originsIn(result, 1)).toEqual([5003, 5006]);
  expect(result.ends).toEqual({ emitted: 6, dropped: 1, passed: 0, dead: 1 });
});

test('1:1 takes a few bytes, however many records', async () => {
  const result = await run(
    Array.from({ length: 1000 }, (_, i) => `v${i}`),
    [{}, {}],
    123_456,
  );
  expect(originsIn(result)).toEqual(Array.from({ length: 1000 }, (_, i) => 123_456 + i));
  expect(result.outputs[0]?.origins?.length).toBeLessThan(10);
  expect(result.ends).toEqual({ emitted: 1000, dropped: 0, passed: 0, dead: 0 });
});

test('a filter takes about a byte a record, and what takes more than 4 KiB is left out', async () => {
  const filtered = await run(Array.from({ length: 3000 }, (_, i) => (i % 3 === 0 ? `v${i}` : 'D')));
  expect(originsIn(filtered)?.slice(0, 3)).toEqual([0, 3, 6]);
  expect(filtered.outputs[0]?.origins?.length).toBeLessThan(10);
  const irregular = Array.from({ length: 20_000 }, (_, i) => ((i * i) % 7 < 3 ? `v${i}` : 'D'));
  expect((await run(irregular.slice(0, 2000))).outputs[0]?.origins?.length).toBeLessThan(2000);
  expect((await run(irregular)).outputs[0]?.origins).toBeNull();
});

test('a source record has one end: passed on by a step, refused and nothing else, or both refused and emitted', async () => {
  const passed = await run(['a', 'F1', 'D'], [{ onError: 'pass' }]);
  expect(passed.ends).toEqual({ emitted: 1, dropped: 1, passed: 1, dead: 0 });
  // The second step refuses what the first one passed on.
  const refused = await run(['a', 'F1', 'b'], [{ onError: 'pass' }, { onError: 'dead_letter' }]);
  expect(refused.ends).toEqual({ emitted: 2, dropped: 0, passed: 0, dead: 1 });
  const dropped = await run(['a', 'F1'], [{ onError: 'drop' }]);
  expect(dropped.ends).toEqual({ emitted: 1, dropped: 1, passed: 0, dead: 0 });
});
