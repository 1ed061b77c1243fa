/** Where a fetch begins and ends: mid-batch offsets, timestamps, size limits, waiting, and the codes at the edges. */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { runOk } from '../servers/process.ts';
import { requireTool } from '../servers/tools.ts';
import { Wire } from '../servers/wire.ts';
import { decodeBatches, decodeValues, encodeBatch } from '../servers/wire-batch.ts';
import { createTopic, unique } from './clients/all.ts';
import { runPython } from './clients/confluent.ts';
import { kafkajsFor } from './clients/kafkajs.ts';

const bootstrap = inject('bootstrap');
const T0 = 1_700_000_000_000;
const value = (i: number): Buffer => Buffer.from(`value ${i}`);
let wire: Wire;
/** Three batches of ten records; batch n has the timestamp T0 + n seconds. */
let topic = '';

beforeAll(async () => {
  wire = await Wire.connect(bootstrap);
  topic = await createTopic('fetching');
  for (const n of [0, 1, 2]) {
    const values = Array.from({ length: 10 }, (_, i) => value(n * 10 + i));
    const answer = await wire.produce(topic, 0, encodeBatch({ values, timestamp: T0 + n * 1000 }));
    expect(answer).toEqual({ error: 0, offset: n * 10 });
  }
});
afterAll(() => wire.close());

test('a fetch from the middle of a batch brings the whole batch', async () => {
  const answer = await wire.fetch(topic, 0, 14);
  expect(answer).toMatchObject({ error: 0, highWatermark: 30, logStart: 0 });
  const batches = decodeBatches(answer.records);
  expect(batches.map(batch => batch.baseOffset)).toEqual([10, 20]);
  expect(batches.flatMap(decodeValues).map(one => one.value)).toEqual(
    Array.from({ length: 20 }, (_, i) => value(10 + i)),
  );
});

test('a limit smaller than the first batch still brings the first batch, whole', async () => {
  const answer = await wire.fetch(topic, 0, 10, { maxBytes: 1 });
  expect(answer.error).toBe(0);
  const batches = decodeBatches(answer.records);
  expect(batches.map(batch => batch.baseOffset)).toEqual([10]);
  expect(answer.records.length).toBe(batches[0]?.bytes.length);
});

test('a fetch at the end is empty, and one past the end is out of range', async () => {
  expect(await wire.fetch(topic, 0, 30)).toMatchObject({ error: 0, highWatermark: 30, records: Buffer.alloc(0) });
  expect((await wire.fetch(topic, 0, 31)).error).toBe(1);
  expect((await wire.fetch(topic, 0, -5)).error).toBe(1);
});

test('a fetch of an unknown topic or partition says so', async () => {
  expect((await wire.fetch(unique('nobody'), 0, 0)).error).toBe(3);
  expect((await wire.fetch(topic, 7, 0)).error).toBe(3);
});

test('a waiting fetch is answered by the produce that comes after it', async () => {
  const waits = await createTopic('waits');
  const other = await Wire.connect(bootstrap);
  const answer = wire.fetch(waits, 0, 0, { minBytes: 1, maxWaitMs: 20_000 });
  await other.produce(waits, 0, encodeBatch({ values: [value(1)] }));
  const [batch] = decodeBatches((await answer).records);
  expect(batch && decodeValues(batch)).toEqual([{ offset: 0, value: value(1) }]);
  other.close();
});

test('a waiting fetch ends empty when nothing comes', async () => {
  const answer = await wire.fetch(topic, 0, 30, { minBytes: 1, maxWaitMs: 50 });
  expect(answer).toMatchObject({ error: 0, records: Buffer.alloc(0) });
});

test('times lead to offsets: the start, the end, and the first record at or after a time', async () => {
  expect(await wire.listOffset(topic, 0, -2)).toMatchObject({ error: 0, offset: 0 });
  expect(await wire.listOffset(topic, 0, -1)).toMatchObject({ error: 0, offset: 30 });
  expect(await wire.listOffset(topic, 0, T0 - 5000)).toEqual({ error: 0, offset: 0, timestamp: T0 });
  expect(await wire.listOffset(topic, 0, T0 + 1)).toEqual({ error: 0, offset: 10, timestamp: T0 + 1000 });
  expect(await wire.listOffset(topic, 0, T0 + 2000)).toEqual({ error: 0, offset: 20, timestamp: T0 + 2000 });
  expect(await wire.listOffset(topic, 0, T0 + 2001)).toEqual({ error: 0, offset: -1, timestamp: -1 });
});

test('a produce with acks = 0 gets no answer, and the next request on the connection gets its own', async () => {
  const silent = await createTopic('silent');
  const alone = await Wire.connect(bootstrap);
  void alone.produce(silent, 0, encodeBatch({ values: [value(0)] }), 0).catch(() => {});
  // The answer to this one would be taken for the answer to the produce; so it is read as an ApiVersions answer.
  const answers = alone.request(18, 0).catch(() => Buffer.alloc(0));
  const [batch] = decodeBatches((await wire.fetch(silent, 0, 0, { minBytes: 1, maxWaitMs: 20_000 })).records);
  expect(batch && decodeValues(batch)).toEqual([{ offset: 0, value: value(0) }]);
  alone.close();
  expect(await answers).toEqual(Buffer.alloc(0));
});

test('an ApiVersions request of a version nobody knows is answered in version 0 with error 35', async () => {
  // The header of version 99 is a flexible one: its tagged fields, then the body of version 4.
  const answer = await wire.request(18, 99, Buffer.from([0, 2, 0x78, 2, 0x31, 0]));
  expect(answer.readInt16BE(0)).toBe(35);
});

test('kafkajs starts where it seeks to, in the middle of a batch', async () => {
  const consumer = kafkajsFor(bootstrap).consumer({ groupId: unique('seek') });
  await consumer.connect();
  try {
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    const first = await new Promise<string>(resolve => {
      let sought = false;
      void consumer.run({
        // oxlint-disable-next-line require-await -- the interface wants a promise
        eachMessage: async ({ message }) => {
          if (sought && message.offset === '17') resolve(message.value?.toString() ?? '');
        },
      });
      consumer.on('consumer.group_join', () => {
        consumer.seek({ topic, partition: 0, offset: '17' });
        sought = true;
      });
    });
    expect(first).toBe('value 17');
  } finally {
    await consumer.disconnect();
  }
});

const kcat = requireTool('kcat');
describe.skipIf(kcat === null)('kcat', () => {
  test('starts in the middle of a batch', async () => {
    const ran = await runOk(kcat ?? '', [
      '-C',
      '-q',
      '-b',
      bootstrap,
      '-t',
      topic,
      '-o',
      '13',
      '-c',
      '2',
      '-f',
      '%o %s,',
    ]);
    expect(ran.stdout.toString()).toBe('13 value 13,14 value 14,');
  });

  test('asks for the offset of a time', async () => {
    const ran = await runOk(kcat ?? '', ['-Q', '-b', bootstrap, '-t', `${topic}:0:${T0 + 500}`]);
    expect(ran.stdout.toString().trim()).toBe(`${topic} [0] offset 10`);
  });

  test('reads the last records', async () => {
    const ran = await runOk(kcat ?? '', ['-C', '-q', '-b', bootstrap, '-t', topic, '-o', '-3', '-e', '-f', '%o,']);
    expect(ran.stdout.toString()).toBe('27,28,29,');
  });
});

const python = requireTool('confluent');
test.skipIf(python === null)('confluent-kafka finds offsets by time and water marks', async () => {
  const answer = await runPython(python ?? '', 'offsets.py', {
    bootstrap,
    topic,
    times: [T0 - 1, T0 + 1500, T0 + 9000],
  });
  expect(answer).toEqual({ watermarks: [0, 30], offsets: [0, 20, 30] });
});
