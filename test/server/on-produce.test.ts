import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CompressionTypes, Kafka, logLevel } from 'kafkajs';
import { afterEach, expect, test } from 'vitest';
import { readBatchHeader, readRecords } from '../../core/engine/records.ts';
import { assemble, guestText } from '../etl/sandbox/guests.ts';
import { bomb } from '../faults/poison/guests.ts';
import { decodeBatches, encodeBatch } from '../servers/wire-batch.ts';
import { Wire } from '../servers/wire.ts';
import { type Project, startProject } from './support.ts';

/* `[topics.NAME] etl_modules`: records pass modules before they are stored. The guest drops D, fails F, doubles 2, loops at L. */

const ERROR = { corrupt: 2, outOfOrder: 45, invalidRecord: 87 };
const LISTEN = '[network]\nkafka_listen = "127.0.0.1:0"\nhttp_listen = "127.0.0.1:0"\n';
const GUEST = '{ module = "guest", on_error = "stop", limits = { time = "50ms" } }';

let project: Project;
let wire: Wire;
afterEach(async () => {
  wire?.close();
  await project?.close();
});

function topicOf(modules: string): string {
  return `${LISTEN}[topics.orders]\npartition_count = 1\netl_modules = [${modules}]\n`;
}

async function start(modules = GUEST, files: Record<string, string> = {}): Promise<void> {
  project = await startProject(files);
  mkdirSync(join(project.folder, 'modules/guest'), { recursive: true });
  writeFileSync(join(project.folder, 'modules/guest/guest.wasm'), assemble(guestText()));
  project.write('modules/guest/module.toml', 'name = "guest"\nversion = "0.1.0"\n');
  project.write('millstream.toml', topicOf(modules));
  await restart();
}

async function restart(): Promise<void> {
  wire?.close();
  await project.restart();
  wire = await Wire.connect(brokers());
}

const brokers = (): string => `127.0.0.1:${project.server.kafka.port}`;
const batch = (values: string[], more: Partial<Parameters<typeof encodeBatch>[0]> = {}): Buffer =>
  encodeBatch({ values: values.map(value => Buffer.from(value)), ...more });

/** What is stored: of each batch its offsets and its records. */
async function stored(topic = 'orders', from = 0) {
  const { records } = await wire.fetch(topic, 0, from);
  return decodeBatches(records).map(({ baseOffset, lastOffset, bytes }) => ({
    from: baseOffset,
    to: lastOffset,
    records: readRecords(bytes).map(({ offset, value }) => `${offset} ${Buffer.from(value ?? '').toString()}`),
  }));
}

const kafka = () => new Kafka({ brokers: [brokers()], logLevel: logLevel.NOTHING, retry: { retries: 3 } });

/** Every file of the data directory that holds these bytes. */
function filesWith(text: string, folder = join(project.folder, 'data')): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .filter(file => readFileSync(file).includes(text));
}

test('personal data never reaches the disk: a real scrubber, a real client', async () => {
  await start('{ module = "pii_scrubber", config = { fields = ["email"] } }');
  const producer = kafka().producer();
  await producer.connect();
  const send = (compression: CompressionTypes, n: number) =>
    producer.send({
      topic: 'orders',
      compression,
      messages: [{ key: 'k', value: JSON.stringify({ n, email: 'ada@example.com' }), headers: { h: 'v' } }],
    });
  const [first] = await send(CompressionTypes.None, 1);
  const [second] = await send(CompressionTypes.GZIP, 2);
  expect([first?.baseOffset, second?.baseOffset]).toEqual(['0', '1']);
  await producer.disconnect();
  expect((await stored()).map(({ records }) => records)).toEqual([
    ['0 {"n":1,"email":"***"}'],
    ['1 {"n":2,"email":"***"}'],
  ]);
  const [, gzip] = decodeBatches((await wire.fetch('orders', 0, 0)).records);
  expect((gzip?.attributes ?? 0) & 7).toBe(1);
  const over = await fetch(`${project.url}/api/v1/topics/orders/records`, {
    method: 'POST',
    headers: { 'content-type': 'text/plain' },
    body: '{"n":3,"email":"eve@example.com"}',
  });
  expect(over.status).toBe(200);
  expect((await stored()).at(-1)?.records).toEqual(['2 {"n":3,"email":"***"}']);
  expect([...filesWith('ada@example'), ...filesWith('eve@example')]).toEqual([]);
  // The search finds what is there.
  expect(filesWith('"email":"***"').length).toBeGreaterThan(0);
});

test('what is left keeps its place: offsets, sequences, and batches that have become empty', async () => {
  await start();
  const { producerId, producerEpoch } = await wire.initProducerId();
  const of = (values: string[], baseSequence: number): Buffer =>
    batch(values, { producerId, producerEpoch, baseSequence });
  expect(await wire.produce('orders', 0, of(['a', 'D', 'b', 'D'], 0))).toEqual({ error: 0, offset: 0 });
  expect(await wire.produce('orders', 0, of(['D', 'D'], 4))).toEqual({ error: 0, offset: 4 });
  // An empty batch is given out while nothing comes behind it; clients would take it for the end of the log.
  expect(await stored('orders', 4)).toEqual([{ from: 4, to: 5, records: [] }]);
  expect(await wire.produce('orders', 0, of(['c'], 6))).toEqual({ error: 0, offset: 6 });
  // A retry finds its original, also of the batch that was emptied, and a gap in the sequences is one.
  expect(await wire.produce('orders', 0, of(['D', 'D'], 4))).toEqual({ error: 0, offset: 4 });
  expect((await wire.produce('orders', 0, of(['x'], 9))).error).toBe(ERROR.outOfOrder);
  const expected = [
    { from: 0, to: 3, records: ['0 a', '2 b'] },
    { from: 6, to: 6, records: ['6 c'] },
  ];
  expect(await stored()).toEqual(expected);
  const [first] = decodeBatches((await wire.fetch('orders', 0, 0)).records);
  const header = readBatchHeader(first?.bytes as Buffer);
  expect(header).toMatchObject({ producerId: Number(producerId), producerEpoch, baseSequence: 0, lastOffsetDelta: 3 });
  expect(header.recordCount).toBe(2);

  // Sequences go on over a restart, and what is missing in a batch is no damage.
  await restart();
  expect(await stored()).toEqual(expected);
  expect(await wire.produce('orders', 0, of(['d'], 7))).toEqual({ error: 0, offset: 7 });
  await project.server.stop();
  expect(await project.run(['verify', 'data'])).toMatchObject({ code: 0 });
  await project.restart();
});

test('a record that a module fails rejects its batch, and the producer is told which and why', async () => {
  await start();
  const refused = await produce9('orders', batch(['a', 'Fb', 'c', 'Td', '2e']));
  expect(refused).toEqual({
    error: ERROR.invalidRecord,
    records: [
      [1, 'guest: REFUSED: this value is refused'],
      [3, expect.stringMatching(/^guest: TRAP: /)],
      [4, expect.stringMatching(/^guest: TOO_MANY_RECORDS: /)],
    ],
    message: expect.stringMatching(/refused record 1 of the batch and 2 more: guest: REFUSED/),
  });
  expect(await stored()).toEqual([]);
  expect(await wire.produce('orders', 0, batch(['a']))).toEqual({ error: 0, offset: 0 });
  const over = await fetch(`${project.url}/api/v1/topics/orders/records`, { method: 'POST', body: 'F' });
  expect([over.status, ((await over.json()) as { code: string }).code]).toEqual([400, 'INVALID_RECORD']);
});

test('with `drop` such a record is left out', async () => {
  await start('{ module = "guest", on_error = "drop", limits = { time = "50ms" } }');
  expect(await wire.produce('orders', 0, batch(['a', 'Fb', 'c', 'Td', '2e', 'L', 'f']))).toEqual({
    error: 0,
    offset: 0,
  });
  expect(await stored()).toEqual([{ from: 0, to: 6, records: ['0 a', '2 c', '6 f'] }]);
});

test('a module that is short of fuel fails the record that uses it up', async () => {
  await start('{ module = "guest", on_error = "drop", limits = { fuel = 1_000_000 } }');
  expect(await wire.produce('orders', 0, batch(['a', 'L', 'b']))).toEqual({ error: 0, offset: 0 });
  expect(await stored()).toEqual([{ from: 0, to: 2, records: ['0 a', '2 b'] }]);
});

test('a batch that cannot be read is refused, whatever the policy', async () => {
  await start('{ module = "guest", on_error = "drop" }');
  expect((await produce9('orders', bomb())).error).toBe(ERROR.corrupt);
  expect(await wire.produce('orders', 0, batch(['a']))).toEqual({ error: 0, offset: 0 });
});

test('a module that spins holds up its own topic only, and order stays', async () => {
  await start();
  const answers = [['a'], ['L'], ['b', 'D'], ['c']].map(values => wire.produce('orders', 0, batch(values)));
  const other = await Wire.connect(brokers());
  expect((await other.produce('orders.other', 0, batch(['x']))).error).not.toBe(ERROR.invalidRecord);
  other.close();
  expect((await Promise.all(answers)).map(({ error, offset }) => [error, offset])).toEqual([
    [0, 0],
    [ERROR.invalidRecord, -1],
    [0, 1],
    [0, 3],
  ]);
  expect((await stored()).flatMap(({ records }) => records)).toEqual(['0 a', '1 b', '3 c']);
});

test('many batches at once, also without acks, are stored in the order in which they came', async () => {
  await start();
  const count = 300;
  const answers = Array.from({ length: count }, (_, i) =>
    wire.produce('orders', 0, batch([`v${i}`, 'D']), i % 2 ? 1 : -1),
  );
  expect((await Promise.all(answers)).map(({ error, offset }) => [error, offset])).toEqual(
    answers.map((_, i) => [0, 2 * i]),
  );
  const unacked = kafka().producer();
  await unacked.connect();
  for (let i = 0; i < 50; i++) await unacked.send({ topic: 'orders', acks: 0, messages: [{ value: `w${i}` }] });
  await unacked.disconnect();
  const values = async () => (await stored()).flatMap(({ records }) => records.map(record => record.split(' ')[1]));
  await expect.poll(values).toHaveLength(count + 50);
  expect(await values()).toEqual([
    ...Array.from({ length: count }, (_, i) => `v${i}`),
    ...Array.from({ length: 50 }, (_, i) => `w${i}`),
  ]);
});

test('transactions stay transactions', async () => {
  await start();
  const producer = kafka().producer({ transactionalId: 't', idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  for (const [value, end] of [
    ['keep', 'commit'],
    ['gone', 'abort'],
    ['Dropped', 'commit'],
  ] as const) {
    const transaction = await producer.transaction();
    await transaction.send({ topic: 'orders', messages: [{ value }, { value: `${value}2` }] });
    await transaction[end]();
  }
  await producer.disconnect();
  const consumed = await project.run(['consume', 'orders', '--from', 'earliest', '-e', '--brokers', brokers()]);
  expect(consumed.out.split('\n').filter(line => line !== '')).toEqual(['keep', 'keep2']);
  await project.server.stop();
  expect(await project.run(['verify', 'data'])).toMatchObject({ code: 0 });
  await project.restart();
});

test('a deploy and a rollback hold from the next batch on; what does not fit here is not deployed', async () => {
  await start();
  const deploy = async (special: string): Promise<[number, string]> => {
    const response = await fetch(`${project.url}/api/v1/wasm/modules`, {
      method: 'POST',
      headers: { 'x-module-name': 'guest' },
      body: Buffer.from(assemble(guestText({ special }))),
    });
    return [response.status, JSON.stringify(await response.json())];
  };
  const dropsX = '(if (i32.eq (local.get $kind) (i32.const 120)) (then (return)))';
  await wire.produce('orders', 0, batch(['x1', 'y']));
  expect((await deploy(dropsX))[0]).toBe(201);
  await wire.produce('orders', 0, batch(['x2', 'y']));
  const back = await fetch(`${project.url}/api/v1/wasm/modules/guest/rollback`, { method: 'POST' });
  await back.text();
  expect((await stored()).map(({ records }) => records)).toEqual([['0 x1', '1 y'], ['3 y']]);
  const velocity = readFileSync(new URL('../../modules/velocity/velocity.wasm', import.meta.url));
  const refused = await fetch(`${project.url}/api/v1/wasm/modules`, {
    method: 'POST',
    headers: { 'x-module-name': 'guest' },
    body: velocity,
  });
  expect(refused.status).toBe(422);
  expect(await refused.text()).toMatch(/topic `orders` cannot run it: .*keeps state/);
});

test('what cannot work is said at the start, and no record is taken', async () => {
  const starts = async (toml: string, files: Record<string, string> = {}): Promise<string> => {
    const broken = startProject({ 'millstream.toml': toml, ...files });
    return broken.then(
      async started => {
        await started.close();
        return 'started';
      },
      (error: unknown) => String(error),
    );
  };
  expect(await starts(topicOf('{ module = "pii_scrubber", on_error = "dead_letter" }'))).toMatch(
    /expected "stop" \(the producer is told\) or "drop", not "dead_letter", which would store what must not be stored/,
  );
  expect(await starts(topicOf('"pii_scruber"'))).toMatch(
    /etl_modules\[0\]: there is no module `pii_scruber`.*pii_scrubber/,
  );
  expect(await starts(topicOf('"pii_scrubber"'))).toMatch(/the config of `pii_scrubber`: .*fields/);
  expect(await starts(topicOf('"velocity"'))).toMatch(/`velocity` keeps state/);
  const pipeline =
    'name = "fill"\n[source]\ntopic = "in"\n[[step]]\nname = "s"\nmodule = "passthrough"\n[outputs]\ndefault = "orders"\n';
  const scrub = '{ module = "pii_scrubber", config = { fields = ["a"] } }';
  expect(await starts(topicOf(scrub), { 'pipelines/fill.toml': pipeline })).toMatch(
    /the pipeline `fill` writes to this topic past them/,
  );
  expect(await starts(`${topicOf(scrub)}[etl]\nenabled = false\n`)).toMatch(/`etl.enabled` is false/);
  expect(await starts(`${topicOf(scrub)}[engine]\nkind = "kafka"\nkafka = { brokers = ["127.0.0.1:1"] }\n`)).toMatch(
    /a Kafka cluster stores records as they come/,
  );
});

test('a topic that is deleted and made anew has its modules still', async () => {
  await start();
  await wire.produce('orders', 0, batch(['a', 'D']));
  const admin = kafka().admin();
  await admin.connect();
  await admin.deleteTopics({ topics: ['orders'] });
  await admin.createTopics({ topics: [{ topic: 'orders', numPartitions: 1 }] });
  await admin.disconnect();
  expect(await wire.produce('orders', 0, batch(['D', 'b']))).toEqual({ error: 0, offset: 0 });
  expect(await stored()).toEqual([{ from: 0, to: 1, records: ['1 b'] }]);
  await project.server.stop();
  expect(await project.run(['verify', 'data'])).toMatchObject({ code: 0 });
  await project.restart();
});

test('clients see the modules in the settings of the topic and cannot set them', async () => {
  await start();
  const admin = kafka().admin();
  await admin.connect();
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: 2, name: 'orders', configNames: ['etl.modules'] }],
  });
  expect(resources[0]?.configEntries[0]).toMatchObject({
    configName: 'etl.modules',
    configValue: 'guest',
    readOnly: true,
  });
  await expect(
    admin.createTopics({ topics: [{ topic: 'own', configEntries: [{ name: 'etl.modules', value: 'guest' }] }] }),
  ).rejects.toThrow();
  await admin.disconnect();
  rmSync(join(project.folder, 'modules/guest'), { recursive: true });
});

/** Produce 8: the first version that names records. */
async function produce9(topic: string, records: Buffer) {
  const i16 = (value: number) => Buffer.from([(value >> 8) & 255, value & 255]);
  const i32 = (value: number) => Buffer.from([value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]);
  const body = [i16(-1), i16(-1), i32(30_000), i32(1), i16(topic.length), Buffer.from(topic), i32(1), i32(0)];
  const answer = await wire.request(0, 8, ...body, i32(records.length), records);
  let at = 4 + 2 + topic.length + 4 + 4;
  const error = answer.readInt16BE(at);
  at += 2 + 8 + 8 + 8;
  const found: [number, string][] = [];
  const text = (): string => {
    const length = answer.readInt16BE(at);
    at += 2;
    if (length < 0) return '';
    at += length;
    return answer.toString('utf8', at - length, at);
  };
  const count = answer.readInt32BE(at);
  at += 4;
  for (let i = 0; i < count; i++) {
    const index = answer.readInt32BE(at);
    at += 4;
    found.push([index, text()]);
  }
  return { error, records: found, message: text() };
}
