import { afterAll, beforeAll, expect, test } from 'vitest';
import { fromDeadRecord } from '../../../core/engine/dead-letter.ts';
import { readRecords } from '../../../core/engine/records.ts';
import type { Sandbox } from '../../../etl/sandbox/sandbox.ts';
import { assemble, chainOf, guestText, moduleOf, stepOf } from './guests.ts';
import { batchOf, outputOf, taskOf, testSandbox, valuesOf } from './harness.ts';

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = testSandbox();
});
afterAll(() => sandbox.close());

const guest = moduleOf(assemble(guestText()));

test('records pass through a module in a worker and come back as one finished batch', async () => {
  const lane = sandbox.openLane(chainOf([stepOf(guest)]));
  const result = await lane.run(taskOf([batchOf(['a', 'b', 'c'], { baseOffset: 40 })]));
  expect(result.records).toBe(3);
  expect(result.outputs).toHaveLength(1);
  expect(result.outputs[0]).toMatchObject({ route: 0, partition: 3, records: 3 });
  expect(valuesOf(outputOf(result))).toEqual(['a', 'b', 'c']);
  expect(result.dead).toBeNull();
  expect(result.recycled).toBeInstanceOf(ArrayBuffer);
  await lane.close();
});

test('a record that makes the module trap is a dead letter, the others go on in order', async () => {
  const lane = sandbox.openLane(chainOf([stepOf(guest)]));
  const result = await lane.run(taskOf([batchOf(['a', 'T', 'c'], { baseOffset: 40 })]));
  expect(valuesOf(outputOf(result))).toEqual(['a', 'c']);
  expect(result.steps[0]).toMatchObject({ in: 3, emitted: 2, dropped: 0, passed: 0, dead: 1, out: 2 });
  const [dead] = readRecords(result.dead?.batch as Uint8Array);
  expect(valuesOf([dead as never])).toEqual(['T']);
  expect(fromDeadRecord(dead as never)).toMatchObject({
    stage: 'step',
    name: 'step',
    partition: 3,
    offset: 41,
    sha256: guest.sha256,
    code: 'TRAP',
    reason: 'the module trapped: unreachable',
    input: null,
  });
  await lane.close();
});

test('a record that never ends is a dead letter, and the thread it held is replaced', async () => {
  const lane = sandbox.openLane(chainOf([stepOf(guest)]));
  const result = await lane.run(taskOf([batchOf(['a', 'L', 'c'])]));
  expect(valuesOf(outputOf(result))).toEqual(['a', 'c']);
  expect(result.dead?.letters).toMatchObject([{ offset: 1, code: 'TIMEOUT' }]);
  await lane.close();
});
