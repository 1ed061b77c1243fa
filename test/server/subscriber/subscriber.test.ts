/** The container's process from outside: real brokers over the socket, the fake BigQuery, its environment, its ports. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type BigQueryFake, start as startBigQuery } from '../../servers/bigquery/start.ts';
import { Millstream } from '../../servers/millstream.ts';
import { eventually } from '../../servers/process.ts';
import { Subscriber } from '../../servers/subscriber.ts';
import { Wire } from '../../servers/wire.ts';
import { decodeBatches, decodeRecords, encodeBatch } from '../../servers/wire-batch.ts';

const PARTITIONS = 3;
const TIMEOUT = 120_000;

let broker: Millstream;
let bigquery: BigQueryFake;
let wire: Wire;
const subscribers: Subscriber[] = [];

beforeAll(async () => {
  bigquery = await startBigQuery({ project: 'p', datasets: ['d'] });
  broker = await Millstream.start();
  wire = await Wire.connect(broker.bootstrap);
}, TIMEOUT);

afterEach(async () => {
  for (const subscriber of subscribers.splice(0)) await subscriber.remove();
});

afterAll(async () => {
  wire?.close();
  await broker?.stop();
  await bigquery?.close();
});

/** A topic, and a table with the columns n (INT64) and name. */
async function prepare(name: string, env: Record<string, string> = {}): Promise<Subscriber> {
  await wire.createTopic(name, PARTITIONS);
  await eventually('the topic', async () => (await wire.listOffset(name, PARTITIONS - 1, -1)).error === 0 || undefined);
  await makeTable(name);
  const subscriber = await Subscriber.prepare({
    GCP_PROJECT_ID: 'p',
    BIGQUERY_DATASET: 'd',
    BIGQUERY_TABLE: name,
    MILLSTREAM_TOPIC: name,
    MILLSTREAM_BROKERS: broker.bootstrap,
    BIGQUERY_EMULATOR_HOST: bigquery.restUrl,
    BIGQUERY_STORAGE_EMULATOR_HOST: bigquery.grpcAddress,
    MAX_BATCH_LATENCY_MS: '50',
    ...env,
  });
  subscribers.push(subscriber);
  return subscriber;
}

async function makeTable(name: string): Promise<void> {
  const answer = await fetch(`${bigquery.restUrl}/bigquery/v2/projects/p/datasets/d/tables`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      tableReference: { projectId: 'p', datasetId: 'd', tableId: name },
      schema: {
        fields: [
          { name: 'n', type: 'INTEGER' },
          { name: 'name', type: 'STRING' },
        ],
      },
    }),
  });
  expect(answer.status).toBe(200);
}

async function produce(
  topic: string,
  from: number,
  count: number,
  text = (n: number) => JSON.stringify({ n, name: `row ${n}` }),
) {
  const numbers = Array.from({ length: count }, (_, i) => from + i);
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const values = numbers.filter(n => n % PARTITIONS === partition).map(n => Buffer.from(text(n)));
    for (let at = 0; at < values.length; at += 5000) {
      const { error } = await wire.produce(topic, partition, encodeBatch({ values: values.slice(at, at + 5000) }));
      expect(error).toBe(0);
    }
  }
}

const counts = async (table: string): Promise<{ rows: number; distinct: number }> => {
  const [row] = await bigquery.sql(`SELECT COUNT(*) AS a, COUNT(DISTINCT n) AS b FROM d.${table}`);
  return { rows: Number(row?.['a']), distinct: Number(row?.['b']) };
};

test.each(['streaming_inserts', 'storage_write_api'])(
  '%s: rows, health, metrics, a clean stop',
  { timeout: TIMEOUT },
  async method => {
    const name = `rows_${method}`;
    const subscriber = await prepare(name, { WRITE_METHOD: method });
    await produce(name, 0, 3000);
    await subscriber.start();
    await eventually('all rows', async () => (await counts(name)).rows >= 3000 || undefined, 60_000);
    expect(await counts(name)).toEqual({ rows: 3000, distinct: 3000 });
    const healthy = await eventually('an empty backlog', async () => {
      const health = await subscriber.health();
      return health.body['backlog'] === 0 ? health : undefined;
    });
    expect(healthy).toMatchObject({ code: 200, body: { status: 'healthy', error_rate: 0, messages_received: 3000 } });
    expect(Date.parse(String(healthy.body['last_successful_insert']))).toBeGreaterThan(Date.now() - TIMEOUT);
    expect(await subscriber.metrics()).toMatchObject({
      messages_received: 3000,
      messages_processed: 3000,
      messages_failed: 0,
    });
    const text = await fetch(`${subscriber.url}/metrics`, {
      headers: { accept: 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1' },
    });
    expect(text.headers.get('content-type')).toContain('text/plain');
    expect(await text.text()).toMatch(/^millstream_sink_records_total\{.*result="written"\} 3000$/m);
    expect(await subscriber.end('SIGTERM')).toBe(0);
  },
);

const isBad = (n: number): boolean => n === 500;
const oneBad = (n: number): string =>
  isBad(n) ? '{"n":"five hundred","name":"bad"}' : JSON.stringify({ n, name: `row ${n}` });

test.each(['log', 'drop', 'file', 'dead_letter_queue'])(
  'a bad row among a thousand: %s',
  { timeout: TIMEOUT },
  async action => {
    const name = `bad_${action}`;
    const subscriber = await prepare(name, {
      DEAD_LETTER_ACTION: action,
      DEAD_LETTER_TOPIC: `${name}_refused`,
      DEAD_LETTER_FILE: 'refused/rows.ndjson',
    });
    if (action === 'dead_letter_queue') await wire.createTopic(`${name}_refused`, PARTITIONS);
    await produce(name, 0, 1000, oneBad);
    await subscriber.start();
    await eventually(
      'all that are good',
      async () => (await subscriber.metrics())['messages_failed'] === 1 || undefined,
      60_000,
    );
    await eventually('the rest', async () => (await counts(name)).rows === 999 || undefined);
    expect(await subscriber.end('SIGTERM')).toBe(0);
    expect(await counts(name)).toEqual({ rows: 999, distinct: 999 });
    const logged = subscriber.output.split('\n').filter(line => line.includes('a row was refused'));
    expect(logged).toHaveLength(action === 'log' ? 1 : 0);
    if (action === 'log') expect(logged[0]).toMatch(/offset=166/);
    if (action === 'file') {
      const letters = readFileSync(join(subscriber.folder, 'refused/rows.ndjson'), 'utf8').trim().split('\n');
      expect(letters.map(line => JSON.parse(line) as object)).toMatchObject([{ source: { topic: name, offset: 166 } }]);
    }
    if (action === 'dead_letter_queue') {
      const { records } = await wire.fetch(`${name}_refused`, 500 % PARTITIONS, 0, { committed: true });
      const letters = decodeBatches(records)
        .filter(batch => (batch.attributes & 0x20) === 0)
        .flatMap(decodeRecords);
      expect(letters.map(letter => letter.value?.toString())).toEqual([oneBad(500)]);
    }
  },
);

test('SIGTERM with 50,000 rows under way loses and doubles nothing', { timeout: 240_000 }, async () => {
  const name = 'sigterm';
  const total = 50_000;
  const subscriber = await prepare(name, { WRITE_METHOD: 'storage_write_api' });
  await produce(name, 0, total);
  await subscriber.start();
  await eventually('the first rows', async () => (await counts(name)).rows > 0 || undefined, 60_000);
  const asked = performance.now();
  expect(await subscriber.end('SIGTERM')).toBe(0);
  expect(performance.now() - asked).toBeLessThan(30_000);
  await subscriber.start();
  await eventually('all rows', async () => (await counts(name)).rows >= total || undefined, 120_000);
  expect(await subscriber.end('SIGTERM')).toBe(0);
  expect(await counts(name)).toEqual({ rows: total, distinct: total });
});

test('a table that is not there makes it degraded, not dead; the port and the group stay', {
  timeout: TIMEOUT,
}, async () => {
  const name = 'later';
  const subscriber = await prepare(name, { BIGQUERY_TABLE: 'later_made' });
  await produce(name, 0, 10);
  await subscriber.start();
  await eventually(
    'degraded',
    async () => (await subscriber.health()).body['status'] === 'degraded' || undefined,
    60_000,
  );
  expect((await subscriber.health()).body['reason']).toMatch(/table .*is not there/);
  await makeTable('later_made');
  await eventually('its recovery', async () => (await counts('later_made')).rows === 10 || undefined, 60_000);
});

test('what is missing is said in one go, with exit code 1', { timeout: TIMEOUT }, async () => {
  const subscriber = await Subscriber.prepare({});
  subscribers.push(subscriber);
  subscriber.spawn();
  expect(await subscriber.ended()).toBe(1);
  expect(subscriber.output).toMatch(/GCP_PROJECT_ID is not set/);
  expect(subscriber.output).toMatch(/MILLSTREAM_TOPIC is not set/);
});
