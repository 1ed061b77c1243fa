import { expect, test } from 'vitest';
import { readVarint, varintSize, writeVarint } from '../../../core/base/varint.ts';
import {
  encodeBatch,
  type NewRecord,
  readBatchHeader,
  readBody,
  recordSpans,
  recordsSection,
} from '../../../core/engine/records.ts';
import { FrameHelper, type Table } from '../../../etl/sandbox/frame-helper/frame-helper.ts';
import { listRecords } from '../../../etl/sandbox/task-input.ts';

/* The helper against the same thing written in plain JavaScript from DESIGN 6, and against random damage. */

function randomFrom(seed: number): (below: number) => number {
  return below => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 4_294_967_296) * below);
  };
}

const random = randomFrom(11);
const bytesOf = (length: number): Buffer => Buffer.from(Array.from({ length }, () => random(256)));
const maybe = (bytes: Buffer): Buffer | null => (random(5) === 0 ? null : bytes);

function randomRecords(count: number): NewRecord[] {
  return Array.from({ length: count }, () => ({
    timestamp: 1_700_000_000_000 + random(1_000_000) - 500_000,
    key: maybe(bytesOf(random(20))),
    value: maybe(bytesOf(random(random(20) === 0 ? 70_000 : 300))),
    headers: Array.from(
      { length: random(4) },
      () => [bytesOf(random(9)).toString('hex'), maybe(bytesOf(random(90)))] as const,
    ),
  }));
}

interface Plain {
  offset: number;
  timestamp: number;
  body: Buffer;
}

function plainRecords(batches: Uint8Array[]): Plain[] {
  return batches.flatMap(batch => {
    const header = readBatchHeader(batch);
    const section = recordsSection(batch, header);
    return [...recordSpans(section, header)].map(span => ({
      offset: header.baseOffset + span.offsetDelta,
      timestamp: span.timestamp,
      body: Buffer.from(section.subarray(span.bodyFrom, span.bodyTo)),
    }));
  });
}

function plainFrame(records: Plain[], partition: number): Buffer {
  const [first] = records as [Plain, ...Plain[]];
  const head = Buffer.alloc(28);
  head[0] = 1;
  head.writeUInt16LE(28, 2);
  head.writeUInt32LE(records.length, 4);
  head.writeBigInt64LE(BigInt(first.offset), 8);
  head.writeBigInt64LE(BigInt(first.timestamp), 16);
  head.writeUInt32LE(partition, 24);
  const parts = records.map(({ offset, timestamp, body }) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(body.length, 0);
    record.writeUInt32LE(offset - first.offset, 4);
    record.writeBigInt64LE(BigInt(timestamp), 8);
    return Buffer.concat([record, body]);
  });
  return Buffer.concat([head, ...parts]);
}

interface Out {
  index: number;
  route: number;
  timestamp: number | null;
  body: Buffer;
}

function plainOutput(records: Out[]): Buffer {
  const head = Buffer.alloc(8);
  head[0] = 1;
  head.writeUInt16LE(8, 2);
  head.writeUInt32LE(records.length, 4);
  const parts = records.map(({ index, route, timestamp, body }) => {
    const record = Buffer.alloc(timestamp === null ? 12 : 20);
    record.writeUInt32LE(index, 0);
    record.writeUInt16LE(route, 4);
    record.writeUInt16LE(timestamp === null ? 0 : 1, 6);
    if (timestamp !== null) record.writeBigInt64LE(BigInt(timestamp), 8);
    record.writeUInt32LE(body.length, record.length - 4);
    return Buffer.concat([record, body]);
  });
  return Buffer.concat([head, ...parts]);
}

function plainSection(records: { timestamp: number; body: Buffer }[]): Buffer {
  const base = records[0]?.timestamp ?? 0;
  return Buffer.concat(
    records.map(({ timestamp, body }, i) => {
      const length = 1 + varintSize(timestamp - base) + varintSize(i) + body.length;
      const head = Buffer.alloc(30);
      let at = writeVarint(head, 0, length);
      head[at++] = 0;
      at = writeVarint(head, at, timestamp - base);
      at = writeVarint(head, at, i);
      return Buffer.concat([head.subarray(0, at), body]);
    }),
  );
}

function tables(helper: FrameHelper): { next: Table; left: Table } {
  return { next: helper.newTable(4), left: helper.newTable(4) };
}

test('input frames are what DESIGN 6 says, over several batches of all kinds of records', () => {
  const helper = new FrameHelper();
  for (let round = 0; round < 20; round++) {
    helper.reset();
    const batches = [
      encodeBatch(randomRecords(1 + random(50)), { baseOffset: 1000, codec: 'gzip' }),
      encodeBatch(randomRecords(1 + random(50)), { baseOffset: 5000 }),
    ];
    const records = plainRecords(batches);
    const { table } = listRecords(helper, Buffer.concat(batches), 0);
    expect(table.count).toBe(records.length);
    for (let from = 0; from < table.count; ) {
      const to = helper.raw.plan(table.at, from, table.count, false, 30, 100_000);
      const frame = helper.reserve(helper.raw.bytes.value);
      helper.raw.frame(table.at, from, to, false, frame, 7);
      const built = Buffer.from(helper.memory.subarray(frame, frame + helper.raw.bytes.value));
      expect(built.equals(plainFrame(records.slice(from, to), 7))).toBe(true);
      expect(to - from).toBeLessThanOrEqual(30);
      if (to - from > 1) expect(built.length).toBeLessThanOrEqual(100_000);
      from = to;
    }
  }
});

test('output frames become the records sections that plain code builds from them', () => {
  const helper = new FrameHelper();
  for (let round = 0; round < 30; round++) {
    helper.reset();
    const batch = encodeBatch(randomRecords(40), { baseOffset: 9 });
    const input = plainRecords([batch]);
    const { table } = listRecords(helper, batch, 0);
    const out: Out[] = input.flatMap(({ body }, index) =>
      Array.from({ length: random(4) }, () => ({
        index,
        route: random(3),
        timestamp: random(2) ? null : random(2 ** 31) - 1,
        body,
      })),
    );
    const frame = plainOutput(out);
    const { next, left } = tables(helper);
    const place = { at: helper.put(frame), length: frame.length };
    const accepted = helper.accept(place, { table, from: 0, to: 40, skip: false }, 3, false, next, left);
    expect(accepted).toEqual({
      emitted: new Set(out.map(each => each.index)).size,
      dropped: 40 - new Set(out.map(each => each.index)).size,
      out: out.length,
    });
    for (const [list, route] of [
      [next, 0],
      [left, 1],
      [left, 2],
    ] as const) {
      const expected = out
        .filter(each => each.route === route)
        .map(each => ({ timestamp: each.timestamp ?? (input[each.index] as Plain).timestamp, body: each.body }));
      const size = helper.raw.measure(list.at, list.count, route, 0);
      expect(helper.raw.records.value).toBe(expected.length);
      const at = helper.reserve(size);
      helper.raw.section(list.at, list.count, route, 0, at);
      expect(Buffer.from(helper.memory.subarray(at, at + size)).equals(plainSection(expected))).toBe(true);
      if (expected.length === 0) continue;
      expect(helper.raw.baseTimestamp.value).toBe(expected[0]?.timestamp);
      expect(helper.raw.maxTimestamp.value).toBe(Math.max(...expected.map(each => each.timestamp)));
    }
  }
});

test('lists are merged by origin, the earlier step first', () => {
  const helper = new FrameHelper();
  const batch = encodeBatch(randomRecords(10));
  const { table } = listRecords(helper, batch, 0);
  const { body } = plainRecords([batch])[0] as Plain;
  const take = (indexes: number[], route: number): Table => {
    const { next, left } = tables(helper);
    const frame = plainOutput(indexes.map(index => ({ index, route, timestamp: null, body })));
    helper.accept(
      { at: helper.put(frame), length: frame.length },
      { table, from: 0, to: 10, skip: false },
      3,
      true,
      next,
      left,
    );
    return left;
  };
  const merged = helper.merge(take([0, 3, 3, 9], 1), take([1, 3, 5, 9], 2));
  const found = Array.from({ length: merged.count }, (_, i) => {
    const { origin, verdict } = helper.entry(merged, i);
    return [origin, verdict];
  });
  expect(found).toEqual([
    [0, 1],
    [1, 2],
    [3, 1],
    [3, 1],
    [3, 2],
    [5, 2],
    [9, 1],
    [9, 2],
  ]);
});

test('a damaged output frame is found out or is a sound one: nothing else, in 20,000 tries', () => {
  const helper = new FrameHelper();
  const input = encodeBatch(
    randomRecords(8).map(record => ({ ...record, value: bytesOf(10) })),
    { baseOffset: 9 },
  );
  const bodies = plainRecords([input]).map(each => each.body);
  const frame = plainOutput(
    bodies.map((body, index) => ({ index, route: index % 2, timestamp: index % 3 ? null : 5, body })),
  );
  let faults = 0;
  for (let round = 0; round < 20_000; round++) {
    helper.reset();
    const { table } = listRecords(helper, input, 0);
    const { next, left } = tables(helper);
    const damaged = Buffer.from(random(8) === 0 ? frame.subarray(0, random(frame.length)) : frame);
    for (let n = random(3); n >= 0 && damaged.length > 0; n--) damaged[random(damaged.length)] = random(256);
    const place = { at: helper.put(damaged), length: damaged.length };
    const result = helper.accept(place, { table, from: 0, to: 8, skip: false }, 2, false, next, left);
    if ('fault' in result) {
      faults++;
      expect(next.count + left.count).toBe(0);
      continue;
    }
    // Whatever was taken can be read, and lies inside of the frame.
    for (const list of [next, left]) {
      for (let i = 0; i < list.count; i++) {
        const { body, length, timestamp } = helper.entry(list, i);
        expect(body).toBeGreaterThanOrEqual(place.at);
        expect(body + length).toBeLessThanOrEqual(place.at + damaged.length);
        readBody(helper.memory, body, body + length);
        expect(Math.abs(timestamp)).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER);
      }
    }
  }
  expect(faults).toBeGreaterThan(5000);
});

test('a damaged records section is found out or is a sound one, as by the plain decoder', () => {
  const helper = new FrameHelper();
  const batch = encodeBatch(randomRecords(6).map(record => ({ ...record, value: bytesOf(10) })));
  const header = readBatchHeader(batch);
  const section = Buffer.from(recordsSection(batch, header));
  let damagedCount = 0;
  for (let round = 0; round < 20_000; round++) {
    helper.reset();
    const damaged = Buffer.from(section);
    for (let n = random(2); n >= 0; n--) damaged[random(damaged.length)] = random(256);
    const table = helper.newTable(header.recordCount);
    const at = helper.put(damaged);
    const found = helper.raw.scan(at, damaged.length, header.recordCount, 0, header.baseTimestamp, -1, 0, table.at, 0);
    if (found < 0) {
      damagedCount++;
      continue;
    }
    const plain = [...recordSpans(damaged, header)];
    expect(found).toBe(plain.length);
    for (const [i, span] of plain.entries()) {
      const entry = helper.entry(table, i);
      expect([entry.body - at, entry.length, entry.timestamp]).toEqual([
        span.bodyFrom,
        span.bodyTo - span.bodyFrom,
        span.timestamp,
      ]);
      readBody(damaged, span.bodyFrom, span.bodyTo);
    }
  }
  expect(damagedCount).toBeGreaterThan(1000);
});

test('a null value is a tombstone, an empty one is not', () => {
  const helper = new FrameHelper();
  const batch = encodeBatch(
    [null, Buffer.alloc(0), Buffer.from('a')].map(value => ({ timestamp: 1, key: null, value })),
  );
  const { table } = listRecords(helper, batch, 0);
  expect([0, 1, 2].map(i => helper.isTombstone(table, i))).toEqual([true, false, false]);
  expect(readVarint(helper.bodyOf(helper.entry(table, 0)), { offset: 1 })).toBe(-1);
});
