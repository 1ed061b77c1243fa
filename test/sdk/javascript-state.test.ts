import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inspect } from '../../etl/sandbox/inspect.ts';
import type { Lane, LaneState, Sandbox } from '../../etl/sandbox/sandbox.ts';
import { compileModule } from '../../sdk/javascript/compile.ts';
import { chainOf, moduleOf, stepOf } from '../etl/sandbox/guests.ts';
import { outputOf, TIME, taskOf, testSandbox } from '../etl/sandbox/harness.ts';
import { Committed, runAll, timed } from '../etl/sandbox/state/fixture.ts';

/* State and timers of a module in JavaScript, compiled with what `npm ci` brings, in the real sandbox. */

let sandbox: Sandbox;
let bytes: Uint8Array;

beforeAll(async () => {
  bytes = await compileModule(fileURLToPath(new URL('./javascript-keeper', import.meta.url)));
  sandbox = testSandbox(1);
}, 120_000);
afterAll(() => sandbox.close());

const open = (state?: LaneState): Lane => sandbox.openLane(chainOf([stepOf(moduleOf(bytes), { timeMs: 1000 })]), state);

async function run(words: string[], size: number, done = new Committed(), from = 0): Promise<Committed> {
  const lane = open(done.batches.length > 0 ? done.state : undefined);
  await runAll(lane, words, size, done, from);
  await lane.close();
  return done;
}

test('what it exports says that it keeps state and sets timers', () => {
  expect(inspect(bytes)).toMatchObject({ form: 'frame-transform', stateful: true, timers: true });
});

test('without timers it may keep state alone, and says so', { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millstream-stateful-'));
  try {
    mkdirSync(join(folder, 'src'));
    writeFileSync(
      join(folder, 'src/index.ts'),
      `export const stateful: boolean = true;
       export const transform = (record, step) =>
         record.with({ value: [step.state.add(record.text()), step.timers === undefined] });`,
    );
    const keeps = await compileModule(folder);
    expect(inspect(keeps)).toMatchObject({ form: 'frame-transform', stateful: true, timers: false });
    const lane = sandbox.openLane(chainOf([stepOf(moduleOf(keeps), { timeMs: 1000 })]));
    const done = new Committed();
    await runAll(lane, ['a', 'a', 'b'], 2, done);
    await lane.close();
    expect(done.outputs).toEqual(['[1,true]', '[2,true]', '[1,true]']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const STORY = ['a', 'refuse', 'a', 'timer t', 'b', 'crash', 'a', 'timer route', 'put {"x":1}', 'kept', 'timer crash'];
const REST = ['remove', 'spin', 'a', 'all', 'many', 'long', 'big', 'never', 'b'];

test('tasks of 1, 7 and all give the same, and a record that fails has written nothing', async () => {
  const words = [...STORY, ...REST];
  const runs = [];
  for (const size of [1, 7, words.length]) {
    const { outputs, letters, changelog } = await run(words, size);
    runs.push({ outputs, letters, changelog: Object.entries(changelog).toSorted(([a], [b]) => (a < b ? -1 : 1)) });
  }
  expect(runs[0]?.outputs).toEqual([
    'a=1',
    'a=2',
    'timer t=1',
    '["t",1,null,true,0]',
    'b=1',
    'a=3',
    'timer route=1',
    '["route",1,null,true,0]',
    'put {"x":1}=1',
    '["{\\"x\\":1}",{"x":1},null]',
    'timer crash=1',
    '[true,false]',
    'a=4',
    '["a","all","b","kept","put {\\"x\\":1}","remove","timer crash","timer route","timer t"]',
    '[600,"m/99",-599,7]',
    'b=2',
  ]);
  expect(runs[0]?.letters).toEqual([
    '1 NOT_GOOD',
    '5 MODULE_THREW',
    '11 MODULE_THREW',
    '12 TIMEOUT',
    '16 STATE_KEY_TOO_LONG',
    '17 STATE_VALUE_TOO_LONG',
    '18 MODULE_THREW',
  ]);
  const keys = runs[0]?.changelog.map(([key]) => key) ?? [];
  expect(keys.filter(key => key.startsWith('v/step/rang/'))).toEqual(['v/step/rang/route', 'v/step/rang/t']);
  expect(runs[1]).toEqual(runs[0]);
  expect(runs[2]).toEqual(runs[0]);
});

test('what is committed is there for the next owner, timers too', async () => {
  const done = await run(['a', 'a', 'timer later'], 3);
  await run(['a', 'b'], 2, done, 100);
  expect(done.outputs).toEqual(['a=1', 'a=2', 'timer later=1', '["later",1,null,true,97]', 'a=3', 'b=1']);
});

test('a call ends before it holds more than there is memory for, and no record is to blame', async () => {
  const words = Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? 'hold 200000' : 'held'));
  const { outputs, letters } = await run(words, words.length);
  expect(letters).toEqual([]);
  expect(outputs.filter(value => value === '200000')).toHaveLength(200);
});

test('a timer that sets the next one comes between all records', async () => {
  const words = ['timer again', ...Array.from({ length: 100 }, () => 'a')];
  const { outputs, letters } = await run(words, words.length);
  expect(letters).toEqual([]);
  // Each comes before the record that brings its time; the first record's own time is now.
  expect(outputs.slice(0, 4)).toEqual(['timer again=1', '["again",1,null,true,0]', 'a=1', '["again",2,null,true,0]']);
  expect(outputs).toHaveLength(201);
});

test('a timer may emit to any output, with its own time; tombstones come with the state', async () => {
  const lane = open();
  const records: [number, string | null][] = [
    [0, 'timer route'],
    [5, null],
  ];
  const result = await lane.run(taskOf([timed(records)]));
  await lane.close();
  const of = (route: number) =>
    outputOf(result, route).map(({ timestamp, value }) => [timestamp - TIME, value && Buffer.from(value).toString()]);
  expect(of(0)).toEqual([
    [0, 'timer route=1'],
    [1, '["route",1,null,true,4]'],
    [5, '=1'],
  ]);
  expect(of(1)).toEqual([[1, null]]);
});
