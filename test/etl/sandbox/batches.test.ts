import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { crc32c } from '../../../core/base/crc32c.ts';
import { partitionFor } from '../../../core/base/murmur2.ts';
import { CODECS, checkBatch, codecOf, encodeBatch, readRecords } from '../../../core/engine/records.ts';
import type { OnError, Sandbox } from '../../../etl/sandbox/sandbox.ts';
import { assemble, chainOf, guestText, moduleOf, stepOf } from './guests.ts';
import { batchOf, outputOf, record, TIME, taskOf, testSandbox, valuesOf } from './harness.ts';

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = testSandbox();
});
afterAll(() => sandbox.close());

const guest = moduleOf(assemble(guestText()));
const DEFAULT = { name: 'default', topic: 'orders.out', rehashPartitions: null, codec: 'none' } as const;

test.each(CODECS)('input compressed with %s is read, and output is written with it', async codec => {
  const lane = sandbox.openLane(chainOf([stepOf(guest)], [{ ...DEFAULT, codec }]));
  const values = Array.from({ length: 300 }, (_, i) => `value ${i % 7}`);
  const result = await lane.run(taskOf([batchOf(values, { codec }), batchOf(['end'], { codec, baseOffset: 300 })]));
  await lane.close();
  expect(result.outputs).toHaveLength(1);
  const header = checkBatch(result.outputs[0]?.batch as Uint8Array);
  expect(codecOf(header)).toBe(codec);
  expect(header).toMatchObject({
    baseOffset: 0,
    recordCount: 301,
    lastOffsetDelta: 300,
    producerId: -1,
    baseTimestamp: TIME,
  });
  expect(valuesOf(outputOf(result))).toEqual([...values, 'end']);
});

test('several small batches become one batch, and records below `from` are skipped', async () => {
  const lane = sandbox.openLane(chainOf([stepOf(guest)]));
  const batches = [
    batchOf(['a', 'b', 'c'], { baseOffset: 10 }),
    batchOf(['d'], { baseOffset: 13 }),
    batchOf(['e'], { baseOffset: 20 }),
  ];
  const whole = await lane.run(taskOf(batches, { from: 10 }));
  expect(whole.outputs).toHaveLength(1);
  expect(valuesOf(outputOf(whole))).toEqual(['a', 'b', 'c', 'd', 'e']);
  const part = await lane.run(taskOf(batches, { from: 12 }));
  expect(valuesOf(outputOf(part))).toEqual(['c', 'd', 'e']);
  expect(part.records).toBe(3);
  const none = await lane.run(taskOf(batches, { from: 21 }));
  expect(none).toMatchObject({ records: 0, outputs: [], dead: null });
  await lane.close();
});

test('control batches are left out, and offsets of compacted batches are kept', async () => {
  const lane = sandbox.openLane(chainOf([stepOf(guest)]));
  const control = encodeBatch([record('T')], { baseOffset: 5, attributes: 0x20 });
  const gaps = batchOf(['a', 'F'], { baseOffset: 1000 });
  const result = await lane.run(taskOf([control, batchOf(['x'], { baseOffset: 6 }), gaps], { from: 3 }));
  await lane.close();
  expect(valuesOf(outputOf(result))).toEqual(['x', 'a']);
  expect(result.dead?.letters).toMatchObject([{ offset: 1001, code: 'REFUSED' }]);
});

test('records of a batch with LogAppendTime carry that time', async () => {
  const lane = sandbox.openLane(chainOf([stepOf(guest)]));
  const result = await lane.run(
    taskOf([encodeBatch([record('a', { timestamp: 5 }), record('b', { timestamp: 9 })], { attributes: 8 })]),
  );
  await lane.close();
  expect(outputOf(result).map(each => each.timestamp)).toEqual([9, 9]);
});

test('keys, headers and timestamps survive, whatever they are', async () => {
  const lane = sandbox.openLane(chainOf([stepOf(guest)]));
  const records = [
    record('a', { key: Buffer.from('k'), timestamp: -1 }),
    record('b', {
      key: Buffer.alloc(0),
      headers: [
        ['', null],
        ['h', Buffer.alloc(0)],
        ['é', Buffer.from([0, 255])],
      ],
    }),
    record('x'.repeat(300_000), { key: Buffer.alloc(70_000, 1), timestamp: 0 }),
    record('c', { timestamp: 9_007_199_254_740_991 }),
  ];
  const result = await lane.run(taskOf([encodeBatch(records)]));
  await lane.close();
  const plain = (
    list: readonly {
      key: Uint8Array | null;
      value: Uint8Array | null;
      timestamp: number;
      headers?: readonly (readonly [string, Uint8Array | null])[];
    }[],
  ) =>
    list.map(each => ({
      key: each.key && Buffer.from(each.key).toString('hex'),
      value: each.value && Buffer.from(each.value).toString('hex'),
      timestamp: each.timestamp,
      headers: (each.headers ?? []).map(([name, value]) => [name, value && Buffer.from(value).toString('hex')]),
    }));
  expect(plain(outputOf(result))).toEqual(plain(records));
});

test('records go to the outputs that the module names, each output with its own codec, in source order over two steps', async () => {
  const outputs = [
    DEFAULT,
    { name: 'suspect', topic: 'orders.suspect', rehashPartitions: null, codec: 'gzip' },
  ] as const;
  // The second step routes what begins with `a`, the first what begins with `R`.
  const second = moduleOf(assemble(guestText().replaceAll('(i32.const 82)', '(i32.const 97)')));
  const lane = sandbox.openLane(chainOf([stepOf(guest), stepOf(second, { name: 'second' })], [...outputs]));
  const result = await lane.run(taskOf([batchOf(['a1', 'R2', 'b3', 'a4', 'R5', '26', 'D7'])]));
  await lane.close();
  expect(valuesOf(outputOf(result, 0))).toEqual(['b3', '26', '26', '26', '26']);
  expect(valuesOf(outputOf(result, 1))).toEqual(['a1', 'R2', 'a4', 'R5']);
  expect(result.steps).toMatchObject([
    { in: 7, emitted: 6, dropped: 1, out: 7 },
    { in: 5, emitted: 5, dropped: 0, out: 7 },
  ]);
});

test('an output that is spread by key puts each record where Java would', async () => {
  const lane = sandbox.openLane(chainOf([stepOf(guest)], [{ ...DEFAULT, rehashPartitions: 5 }]));
  const keys = Array.from({ length: 100 }, (_, i) => (i % 10 === 9 ? null : Buffer.from(`key ${i}`)));
  // The guest reads its commands behind a null key only, so these are all plain.
  const result = await lane.run(taskOf([encodeBatch(keys.map((key, i) => record(`v${i}`, { key })))]));
  await lane.close();
  const found = result.outputs.flatMap(({ partition, batch }) =>
    readRecords(batch).map(each => [valuesOf([each])[0], partition] as const),
  );
  expect(result.outputs.map(output => output.partition)).toEqual([0, 1, 2, 3, 4]);
  // A record without a key stays with the number of its source partition.
  const expected = keys.map((key, i) => [`v${i}`, key ? partitionFor(key, 5) : 3] as const);
  expect(new Map(found)).toEqual(new Map(expected));
  expect(result.outputs.reduce((sum, output) => sum + output.records, 0)).toBe(100);
});

test('a batch of more records than one call takes is cut into calls and comes back whole', async () => {
  const lane = sandbox.openLane(chainOf([stepOf(guest), stepOf(guest, { name: 'second' })]));
  const values = Array.from({ length: 4321 }, (_, i) => (i % 1000 === 999 ? 'T' : `v${i}`));
  const result = await lane.run(taskOf([batchOf(values)]));
  await lane.close();
  expect(valuesOf(outputOf(result))).toEqual(values.filter(value => value !== 'T'));
  expect(result.dead?.letters.map(letter => letter.offset)).toEqual([999, 1999, 2999, 3999]);
});

test('records bigger than a call go alone, and one that the module has no room for is a dead letter', async () => {
  const lane = sandbox.openLane(chainOf([stepOf(guest)]));
  const values = ['a', 'x'.repeat(2_000_000), 'b', 'y'.repeat(9_000_000), 'c'];
  const result = await lane.run(taskOf([batchOf(values)]));
  await lane.close();
  expect(valuesOf(outputOf(result)).map(value => value?.length)).toEqual([1, 2_000_000, 1, 1]);
  expect(result.dead?.letters).toMatchObject([{ offset: 3 }]);
});

test('a damaged batch is an error of kind data, and the lane takes nothing behind it', async () => {
  const lane = sandbox.openLane(chainOf([stepOf(guest)]));
  const damaged = batchOf(['a', 'b']);
  damaged[damaged.length - 1] = 99;
  const first = lane.run(taskOf([damaged]));
  const second = lane.run(taskOf([batchOf(['c'])]));
  await expect(first).rejects.toMatchObject({ kind: 'data', code: 'CORRUPT_BATCH' });
  await expect(second).rejects.toMatchObject({ kind: 'data', code: 'CORRUPT_BATCH' });
  await expect(lane.run(taskOf([batchOf(['d'])]))).rejects.toMatchObject({ code: 'CORRUPT_BATCH' });
  await lane.close();
});

/** The same batch with other contents under a CRC that is right, as a broken or hostile producer sends it. */
function withContents(batch: Uint8Array, codec: number, contents: Uint8Array): Uint8Array {
  const made = Buffer.concat([batch.subarray(0, 61), contents]);
  made.writeInt32BE(made.length - 12, 8);
  made.writeInt16BE(codec, 21);
  made.writeUInt32BE(crc32c(made.subarray(21)), 17);
  return made;
}
const bomb = (): Uint8Array => {
  const piece = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024));
  return Buffer.concat(Array.from({ length: 17 }, () => piece));
};
const UNREADABLE: [string, number, () => Uint8Array, RegExp][] = [
  ['does not decompress', 4, () => Buffer.from('no zstd'), /zstd data does not decompress/],
  ['unpacks to more than a GiB', 4, bomb, /zstd data does not decompress/],
  [
    'is not what its header says',
    0,
    () => Buffer.from([0x7f, 1, 2, 3]),
    /record \d of the batch at offset 2 is damaged/,
  ],
  ['holds less than its header says', 0, () => Buffer.alloc(0), /record 1 of the batch at offset 2 is damaged/],
];

test.each(UNREADABLE)('a batch that %s is one dead letter with its bytes', async (_, codec, contents, reason) => {
  const first = batchOf(['a', null]);
  const bad = withContents(batchOf(['b', 'c'], { baseOffset: 2 }), codec, contents());
  const last = batchOf(['d'], { baseOffset: 4 });
  const run = async (onError: OnError, from = 0) => {
    const lane = sandbox.openLane(chainOf([stepOf(guest, { onError }), { ...stepOf(guest), name: 'second' }]));
    const result = await lane.run(taskOf([first, bad, last], { from }));
    await lane.close();
    return result;
  };
  const result = await run('dead_letter');
  expect(valuesOf(outputOf(result))).toEqual(['a', null, 'd']);
  expect(result.dead?.letters).toMatchObject([{ step: 'step', offset: 2, code: 'CORRUPT_BATCH' }]);
  expect(result.dead?.letters[0]?.reason).toMatch(reason);
  const [letter] = readRecords(result.dead?.batch ?? new Uint8Array(0));
  expect(Buffer.compare(letter?.value ?? Buffer.alloc(0), bad)).toBe(0);
  expect(result).toMatchObject({ records: 4, ends: { emitted: 3, dead: 1 }, stopped: null });
  // In the middle of it: a record of it is what was done before.
  expect((await run('dead_letter', 3)).dead?.letters).toMatchObject([{ offset: 3 }]);
  expect(valuesOf(outputOf(await run('drop')))).toEqual(['a', null, 'd']);
  const stopped = await run('stop');
  expect(valuesOf(outputOf(stopped))).toEqual(['a', null]);
  expect(stopped.stopped).toMatchObject({ offset: 2, code: 'CORRUPT_BATCH' });
});

test('a lane goes on after a task that needed very much memory', async () => {
  const lane = sandbox.openLane(chainOf([stepOf(guest)]));
  const big = 'x'.repeat(900_000);
  await lane.run(taskOf([batchOf(Array.from({ length: 40 }, () => big))]));
  const result = await lane.run(taskOf([batchOf(['a', 'T', 'b'])]));
  await lane.close();
  expect(valuesOf(outputOf(result))).toEqual(['a', 'b']);
});

test('samples show the first records before and after each step, and why one failed', async () => {
  const lane = sandbox.openLane(chainOf([stepOf(guest), stepOf(guest, { name: 'second' })]));
  const batch = encodeBatch([record('R1', { headers: [['h', Buffer.from('1')]] }), record('F2'), record('c')], {
    baseOffset: 9,
  });
  const result = await lane.run(taskOf([batch], { samples: 2 }));
  await lane.close();
  const before = { key: null, value: 'R1', headers: { h: '1' } };
  expect(result.samples).toEqual([
    { step: 'step', offset: 9, before, after: [{ ...before, output: 'suspect' }], error: null },
    {
      step: 'step',
      offset: 10,
      before: { key: null, value: 'F2', headers: {} },
      after: [],
      error: { code: 'REFUSED', reason: 'this value is refused' },
    },
    {
      step: 'second',
      offset: 11,
      before: { key: null, value: 'c', headers: {} },
      after: [{ key: null, value: 'c', headers: {}, output: 'default' }],
      error: null,
    },
  ]);
});
