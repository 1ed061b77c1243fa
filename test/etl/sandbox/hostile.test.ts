import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromDeadRecord } from '../../../core/engine/dead-letter.ts';
import { readRecords } from '../../../core/engine/records.ts';
import type { ChainStep, Sandbox, StoredModule } from '../../../etl/sandbox/sandbox.ts';
import { assemble, chainOf, guestText, moduleOf, stepOf } from './guests.ts';
import { batchOf, outputOf, TIME, taskOf, testSandbox, valuesOf } from './harness.ts';

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = testSandbox();
});
afterAll(() => sandbox.close());

const BASE_OFFSET = 7000;

/** Runs `count` records of which those at `offenders` are of this kind; exactly these must die, all others pass. */
async function check(
  module: StoredModule,
  kind: string,
  code: string | RegExp,
  count: number,
  offenders: number[],
  options: Partial<ChainStep> = {},
): Promise<void> {
  const lane = sandbox.openLane(chainOf([stepOf(module, options)]));
  const values = Array.from({ length: count }, (_, i) => (offenders.includes(i) ? `${kind}${i}` : `v${i}`));
  const half = Math.ceil(count / 2);
  const batches = [values.slice(0, half), values.slice(half)].filter(part => part.length > 0);
  const result = await lane.run(
    taskOf(batches.map((part, i) => batchOf(part, { baseOffset: BASE_OFFSET + i * half, codec: i ? 'lz4' : 'none' }))),
  );
  await lane.close();

  const out = outputOf(result);
  expect(valuesOf(out)).toEqual(values.filter((_, i) => !offenders.includes(i)));
  expect(out.map(record => record.timestamp)).toEqual(
    values.flatMap((_, i) => (offenders.includes(i) ? [] : [TIME + (i % half)])),
  );
  const dead = result.dead ? readRecords(result.dead.batch) : [];
  expect(valuesOf(dead)).toEqual(values.filter((_, i) => offenders.includes(i)));
  for (const [n, record] of dead.entries()) {
    const letter = fromDeadRecord(record);
    expect(letter).toMatchObject({
      pipeline: 'orders',
      stage: 'step',
      name: 'step',
      topic: 'orders.in',
      partition: 3,
      offset: BASE_OFFSET + (offenders[n] as number),
      sha256: module.sha256,
      input: null,
    });
    expect(letter?.code).toMatch(code);
    expect(record.timestamp).toBe(TIME + ((offenders[n] as number) % half));
  }
  const emitted = count - offenders.length;
  expect(result.steps[0]).toMatchObject({
    in: count,
    emitted,
    dropped: 0,
    passed: 0,
    dead: offenders.length,
    out: emitted,
  });
}

/** `FULL=1 vitest run test/etl/sandbox/hostile.test.ts --testTimeout=160000`: also bombs and loops 500 times in a batch. */
const FULL = process.env['FULL'] !== undefined;
const ALL = Array.from({ length: 500 }, (_, i) => i);
const PLACES: [where: string, offenders: number[]][] = [
  ['first', [0]],
  ['in the middle', [251]],
  ['last', [499]],
  ['two neighbours', [99, 100]],
  ['the batch boundary', [249, 250]],
  ['all', ALL],
];

const guests = {
  'reports progress': moduleOf(assemble(guestText({ capabilities: 1 }))),
  'reports nothing': moduleOf(assemble(guestText({ capabilities: 0 }))),
};

for (const [how, module] of Object.entries(guests)) {
  // One by one there is less that the place could change.
  const places = (kind: string): typeof PLACES =>
    module === guests['reports progress'] || kind === 'T'
      ? PLACES
      : PLACES.filter(([where]) => /middle|two/.test(where));
  describe(`a guest that ${how}`, () => {
    for (const [name, kind, code] of [
      ['traps', 'T', /^TRAP$/],
      ['recurses without end', 'S', /^STACK_OVERFLOW$/],
      ['eats memory', 'M', /^MEMORY_LIMIT$/],
      ['fails the record', 'F', /^REFUSED$/],
      ['gives more than it may', 'B', /^OUTPUT_TOO_LARGE$/],
    ] as const) {
      test.each(places(kind))(
        `that ${name} on the offenders (%s) costs exactly these records`,
        async (_where, offenders) => {
          // Some bombs take their time to go off: fewer of them.
          const few = !FULL && offenders.length > 2 && 'MBS'.includes(kind);
          const chosen = few ? offenders.slice(0, 5) : offenders;
          await check(module, kind, code, few ? 5 : 500, chosen);
        },
      );
    }

    test.each(PLACES)(
      'that never ends on the offenders (%s) costs exactly these records',
      async (_where, offenders) => {
        const few = !FULL && offenders.length > 2;
        await check(module, 'L', /^TIMEOUT$/, few ? 3 : 500, few ? [0, 1, 2] : offenders, { timeMs: 20 });
      },
    );
  });
}

test('a guest that reports false progress for ever stands still all the same', async () => {
  await check(guests['reports progress'], 'X', /^TIMEOUT$/, 20, [4, 5, 19], { timeMs: 20 });
});

const GARBAGE: [name: string, code: string][] = [
  ['an unknown version', '(i32.store8 (i32.const 8388608) (i32.const 9))'],
  ['unknown flags', '(i32.store8 (i32.const 8388609) (i32.const 1))'],
  ['a wrong header length', '(i32.store16 (i32.const 8388610) (i32.const 12))'],
  [
    'more records promised than there are',
    '(i32.store (i32.const 8388612) (i32.add (global.get $count) (i32.const 1)))',
  ],
  ['four billion records promised', '(i32.store (i32.const 8388612) (i32.const -1))'],
  [
    'fewer records promised than there are',
    '(i32.store (i32.const 8388612) (i32.sub (global.get $count) (i32.const 1)))',
  ],
  ['an input index that does not exist', '(i32.store (i32.const 8388616) (i32.const 100000))'],
  ['decreasing indexes', '(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))'],
  ['an unknown route', '(i32.store16 (i32.const 8388620) (i32.const 2))'],
  ['unknown record flags', '(i32.store16 (i32.const 8388622) (i32.const 2))'],
  ['a timestamp that is not there', '(i32.store16 (i32.const 8388622) (i32.const 1))'],
  ['a huge body length', '(i32.store (i32.const 8388624) (i32.const -16))'],
  ['a body that is none', '(i32.store8 (i32.const 8388628) (i32.const 0x80))'],
  ['a header count of two billion', '(i64.store (i32.const 8388628) (i64.const 0x0fffffff0101))'],
  ['bytes behind the last record', '(global.set $out (i32.add (global.get $out) (i32.const 7)))'],
  ['a frame of five bytes', '(return (i64.const 0x0080000000000005))'],
  ['a frame outside of the memory', '(return (i64.const -1))'],
  ['a frame as long as the memory', '(return (i64.const 0x0000000100c7ffff))'],
];

describe('a guest that gives garbage', () => {
  test.each(GARBAGE)('(%s) costs exactly the records it does so for', async (_name, garbage) => {
    const module = moduleOf(assemble(guestText({ garbage })));
    await check(module, 'G', /^(BAD_OUTPUT|OUTPUT_TOO_LARGE)$/, 60, [0, 30, 31, 59]);
  });

  test('for every record of a full batch loses all of them and nothing else', async () => {
    const module = moduleOf(assemble(guestText({ garbage: GARBAGE[0]?.[1] ?? '' })));
    await check(module, 'G', /^BAD_OUTPUT$/, 500, ALL);
    await check(module, 'G', /^BAD_OUTPUT$/, 500, [10, 499]);
  });
});
