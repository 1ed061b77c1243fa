/** What only the fake can show: with the clock in hand, and with its options. */
import { gzipSync } from 'node:zlib';
import { afterEach, expect, test } from 'vitest';
import { ManualClock } from '../../connectors/manual-clock.ts';
import { storage } from './proto/protos.ts';
import { type BigQueryFake, start } from './start.ts';
import type { Options } from './options.ts';
import { Appender, rows, storageCodes } from './suite/append.ts';
import type { Field } from './suite/rows.ts';
import { type WriteClient, writeClient } from './suite/target.ts';

const FIELDS: Field[] = [{ name: 'id', type: 'int64' }];
const COLUMNS = [{ name: 'id', type: 'INTEGER', mode: 'REQUIRED' }];
const PARENT = 'projects/p/datasets/d/tables/t';
const DEFAULT = `${PARENT}/streams/_default`;
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

interface Setup {
  fake: BigQueryFake;
  client: WriteClient;
  clock: ManualClock;
  ask: (verb: string, path: string, body?: object) => Promise<{ status: number; body: Record<string, never> }>;
  insert: (...list: object[]) => Promise<{ status: number; body: Record<string, never> }>;
  ids: () => Promise<unknown[]>;
}

async function setUp(options: Partial<Options> = {}, table: object = { schema: { fields: COLUMNS } }): Promise<Setup> {
  const clock = new ManualClock();
  const fake = await start({ datasets: ['d'], clock, ...options });
  const client = writeClient('p', fake.grpcPort);
  closers.push(async () => {
    await client.close();
    await fake.close();
  });
  const ask: Setup['ask'] = async (verb, path, body) => {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    const response = await fetch(`${fake.restUrl}/projects/p/datasets/d${path}`, { method: verb, ...init });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Record<string, never> };
  };
  await ask('POST', '/tables', { tableReference: { tableId: 't' }, ...table });
  return {
    fake,
    client,
    clock,
    ask,
    insert: (...list) => ask('POST', '/tables/t/insertAll', { rows: list }),
    ids: async () => (await fake.sql('SELECT id FROM d.t ORDER BY id')).map(row => Number(row['id'])),
  };
}

const append = (ids: number[], more: Parameters<typeof rows>[2] = {}): ReturnType<typeof rows> =>
  rows(
    FIELDS,
    ids.map(id => ({ id })),
    { stream: DEFAULT, ...more },
  );

test('an insertId is forgotten after about a minute', async () => {
  const { insert, ids, clock } = await setUp();
  for (const wait of [0, 59_000, 2_000]) {
    await clock.advance(wait);
    await insert({ insertId: 'a', json: { id: 1 } });
  }
  expect(await ids()).toEqual([1, 1]);
});

test('some repeated insertIds get through when that is asked for, the same ones for a seed', async () => {
  const counts = [];
  for (const seed of [7, 7, 8]) {
    const { insert, ids } = await setUp({ insertIdMissRate: 0.3, seed });
    const list = Array.from({ length: 100 }, (_, id) => ({ insertId: `i${id}`, json: { id } }));
    await insert(...list);
    await insert(...list);
    counts.push((await ids()).join());
  }
  expect(counts[0]).toBe(counts[1]);
  expect(counts[0]).not.toBe(counts[2]);
  const length = counts[0]?.split(',').length ?? 0;
  expect(length).toBeGreaterThan(110);
  expect(length).toBeLessThan(150);
});

test('a new table is not found by those who write, for a while', async () => {
  const { insert, clock, client, ask } = await setUp({ visibleAfterMs: 5000 });
  expect((await ask('GET', '/tables/t')).status).toBe(200);
  expect((await insert({ json: { id: 1 } })).body).toMatchObject({
    error: { code: 404, errors: [{ reason: 'notFound' }] },
  });
  const appender = new Appender(client);
  appender.send(append([1]));
  const ended = await appender.ended;
  expect(ended.code).toBe(5);
  const [detail] = ended.metadata?.get('google.cloud.bigquery.storage.v1.storageerror-bin') ?? [];
  expect(storage.StorageError.decode(detail as Buffer)).toMatchObject({ code: 1, entity: DEFAULT });
  await clock.advance(5000);
  expect((await insert({ json: { id: 1 } })).status).toBe(200);
});

test('a dropped table is told apart, its streams do not come back with it', async () => {
  const { insert, ids, client, ask } = await setUp();
  const [stream] = await client.createWriteStream({ parent: PARENT, writeStream: { type: 'COMMITTED' } });
  const appender = new Appender(client);
  await appender.append(append([1], { stream: stream.name ?? '', offset: 0 }));
  expect((await ask('DELETE', '/tables/t')).status).toBe(204);
  expect((await insert({ json: { id: 1 } })).body).toMatchObject({ error: { message: 'Table is deleted: p:d.t' } });
  appender.send(append([2], { stream: stream.name ?? '', offset: 1 }));
  expect((await appender.ended).code).toBe(5);
  await ask('POST', '/tables', { tableReference: { tableId: 't' }, schema: { fields: COLUMNS } });
  expect(await ids()).toEqual([]);
  const second = new Appender(client);
  second.send(append([2], { stream: stream.name ?? '', offset: 1 }));
  expect((await second.ended).code).toBe(5);
  const third = new Appender(client);
  expect((await third.append(append([3]))).error ?? null).toBeNull();
  await third.close();
  expect(await ids()).toEqual([3]);
});

test('writers see a schema change late, and hear of it then', async () => {
  const { ask, insert, client, clock } = await setUp({ schemaDelayMs: 60_000 });
  const appender = new Appender(client);
  await appender.append(append([1]));
  await ask('PATCH', '/tables/t', { schema: { fields: [...COLUMNS, { name: 'extra', type: 'STRING' }] } });
  const wider: Field[] = [...FIELDS, { name: 'extra', type: 'string' }];
  const early = await appender.append(rows(wider, [{ id: 2, extra: 'x' }], { stream: DEFAULT }));
  expect(storageCodes(early, storage.StorageError)).toEqual([7]);
  expect((await insert({ json: { id: 3, extra: 'x' } })).body).toMatchObject({
    insertErrors: [{ errors: [{ message: 'no such field: extra.' }] }],
  });
  await clock.advance(60_000);
  const late = await appender.append(append([4]));
  expect(late.updatedSchema?.fields).toHaveLength(2);
  expect((await appender.append(rows(wider, [{ id: 5, extra: 'x' }], { stream: DEFAULT }))).error ?? null).toBeNull();
  await appender.close();
});

test('an idle connection is ended with ABORTED', async () => {
  const { client, clock } = await setUp();
  const appender = new Appender(client);
  await appender.append(append([1]));
  await clock.advance(599_000);
  await appender.append(append([2]));
  await clock.advance(600_000);
  const ended = await appender.ended;
  expect(ended.code).toBe(10);
  expect(ended.details).toContain('Closing the stream because it has been inactive for 600 seconds');
});

test('a stream has one connection: the newer one', async () => {
  const { client, ids } = await setUp();
  const [stream] = await client.createWriteStream({ parent: PARENT, writeStream: { type: 'COMMITTED' } });
  const name = stream.name ?? '';
  const [first, second] = [new Appender(client), new Appender(client)];
  await first.append(append([1], { stream: name, offset: 0 }));
  expect((await second.append(append([2], { stream: name, offset: 1 }))).error ?? null).toBeNull();
  expect((await first.ended).code).toBe(10);
  await second.close();
  expect(await ids()).toEqual([1, 2]);
});

test('a second finalisation gives the count again, or is refused', async () => {
  for (const [finalizeTwice, second] of [
    ['count', 1],
    ['refuse', 3],
  ] as const) {
    const { client } = await setUp({ finalizeTwice });
    const [stream] = await client.createWriteStream({ parent: PARENT, writeStream: { type: 'COMMITTED' } });
    const name = stream.name ?? '';
    const appender = new Appender(client);
    await appender.append(append([1], { stream: name }));
    await appender.close();
    const finalize = (): Promise<number> =>
      client.finalizeWriteStream({ name }).then(
        ([each]) => Number(each.rowCount),
        (error: { code: number }) => error.code,
      );
    expect(await finalize()).toBe(1);
    expect(await finalize()).toBe(second);
  }
});

const PEOPLE = {
  schema: { fields: [...COLUMNS, { name: 'name', type: 'STRING' }] },
  tableConstraints: { primaryKey: { columns: ['id'] } },
};
const CHANGES: Field[] = [
  { name: 'id', type: 'int64' },
  { name: 'name', type: 'string' },
  { name: '_CHANGE_TYPE', type: 'string' },
  { name: '_CHANGE_SEQUENCE_NUMBER', type: 'string' },
];
const change = (id: number, type: string, sequence: string, name?: string): Record<string, unknown> => ({
  id,
  ...(name === undefined ? {} : { name }),
  _CHANGE_TYPE: type,
  _CHANGE_SEQUENCE_NUMBER: sequence,
});

test('changes replace and remove rows by their key, in the order of their sequence numbers', async () => {
  const { fake, client } = await setUp({}, PEOPLE);
  const appender = new Appender(client);
  const send = (...list: Record<string, unknown>[]) => appender.append(rows(CHANGES, list, { stream: DEFAULT }));
  await send(change(1, 'UPSERT', '1', 'ada'), change(2, 'UPSERT', '2', 'bob'), change(3, 'UPSERT', '3', 'eve'));
  await send(change(1, 'UPSERT', 'A', 'ada again'), change(1, 'UPSERT', '9', 'too late'), change(2, 'DELETE', 'b'));
  await send(change(2, 'UPSERT', '5', 'too late'), change(3, 'UPSERT', '3/1', 'eve again'));
  expect(await fake.sql('SELECT * FROM d.t ORDER BY id')).toEqual([
    { id: 1n, name: 'ada again' },
    { id: 3n, name: 'eve again' },
  ]);
  // The same changes once more: nothing is different.
  await send(change(1, 'UPSERT', 'A', 'ada again'), change(2, 'DELETE', 'b'));
  expect(await fake.sql('SELECT count(*) AS n FROM d.t')).toEqual([{ n: 2n }]);
  const bad = await send(
    change(1, 'INSERT', '1', 'x'),
    change(1, 'UPSERT', 'xyz', 'x'),
    change(1, 'UPSERT', 'c', 'good'),
  );
  expect(bad.rowErrors?.map(each => Number(each.index))).toEqual([0, 1]);
  await appender.close();
});

test('changes need a primary key and the default stream', async () => {
  const plain = await setUp({}, { schema: PEOPLE.schema });
  const first = new Appender(plain.client);
  expect((await first.append(rows(CHANGES, [change(1, 'UPSERT', '1')], { stream: DEFAULT }))).error?.code).toBe(3);
  await first.close();
  const keyed = await setUp({}, PEOPLE);
  const [stream] = await keyed.client.createWriteStream({ parent: PARENT, writeStream: { type: 'COMMITTED' } });
  const second = new Appender(keyed.client);
  expect(
    (await second.append(rows(CHANGES, [change(1, 'UPSERT', '1')], { stream: stream.name ?? '' }))).error?.code,
  ).toBe(3);
  await second.close();
});

test('rows can be counted instead of kept', async () => {
  const { fake, client, insert } = await setUp({ rows: 'count' });
  const appender = new Appender(client);
  await appender.append(append([1, 2]));
  const { checksum } = fake.totals('d', 't');
  await appender.append(append([2]));
  await appender.append(append([1]));
  await appender.close();
  expect(fake.totals('d', 't')).toMatchObject({ rows: 4, checksum: checksum * 2 });
  await insert({ json: { id: 1 } });
  expect(fake.totals('d', 't').rows).toBe(5);
});

test('bodies may be compressed, and big numbers bare', async () => {
  const { fake, ids } = await setUp();
  const response = await fetch(`${fake.restUrl}/bigquery/v2/projects/p/datasets/d/tables/t/insertAll`, {
    method: 'POST',
    headers: { 'content-encoding': 'gzip', 'content-type': 'application/json' },
    body: gzipSync('{"rows":[{"json":{"id":9007199254740993}},{"json":{"id":1.0}}]}'),
  });
  expect(await response.json()).toEqual({ kind: 'bigquery#tableDataInsertAllResponse' });
  expect(await ids()).toHaveLength(2);
  expect(await fake.sql('SELECT max(id) AS id FROM d.t')).toEqual([{ id: 9007199254740993n }]);
});

test('one bad row among many names itself alone', async () => {
  const { fake, client } = await setUp();
  const appender = new Appender(client);
  const list = Array.from({ length: 10_000 }, (_, id) => (id === 4711 ? {} : { id }));
  const response = await appender.append(rows(FIELDS, list, { stream: DEFAULT }));
  expect(response.rowErrors).toMatchObject([
    { index: '4711', code: 'FIELDS_ERROR', message: 'Missing required field: id' },
  ]);
  expect(fake.totals('d', 't').rows).toBe(0);
  await appender.close();
});
