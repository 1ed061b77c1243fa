import { afterEach, beforeEach, expect, test } from 'vitest';
import { appendValues, CONFIG, ID, openStore, readValues, temporaryDirectory } from './harness.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;

beforeEach(async () => {
  directory = await temporaryDirectory();
});
afterEach(() => directory.cleanUp());

test('what was appended is read back after a clean stop', async () => {
  const store = await openStore(directory.path);
  const log = await store.open(ID, CONFIG);
  const first = appendValues(log, ['a', 'b']);
  const second = appendValues(log, ['c']);
  expect([first.baseOffset, first.lastOffset, second.baseOffset]).toEqual([0, 1, 2]);
  expect(log.highWatermark).toBe(0);
  await Promise.all([first.durable, second.durable]);
  expect(log.highWatermark).toBe(3);
  expect(await readValues(log)).toEqual(['a', 'b', 'c']);
  await store.close();

  const again = await openStore(directory.path);
  expect(await again.list()).toEqual([ID]);
  const reopened = await again.open(ID, CONFIG);
  expect(reopened.leaderEpoch).toBe(0);
  expect(await readValues(reopened)).toEqual(['a', 'b', 'c']);
  await appendValues(reopened, ['d']).durable;
  expect(await readValues(reopened, 2)).toEqual(['c', 'd']);
  await again.close();
});

test('what was acknowledged is read back when the process ended without closing, in a new leader epoch', async () => {
  const store = await openStore(directory.path);
  const log = await store.open(ID, { ...CONFIG, segmentBytes: 4096 });
  const values: string[] = [];
  for (let i = 0; i < 200; i++) {
    values.push(`value ${i}`);
    await appendValues(log, [`value ${i}`]).durable;
  }
  const again = await openStore(directory.path);
  const reopened = await again.open(ID, { ...CONFIG, segmentBytes: 4096 });
  expect(await readValues(reopened)).toEqual(values);
  expect(reopened.leaderEpoch).toBe(1);
  expect(reopened.endOffsetForEpoch(0)).toEqual({ epoch: 0, endOffset: 200 });
  await again.close();
});
