/** Scripted faults, the journal, and the fake as a process. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type BigQueryFake, start } from './start.ts';
import { Appender, rows } from './suite/append.ts';
import type { Field } from './suite/rows.ts';
import { restClient, type WriteClient, writeClient } from './suite/target.ts';

const FIELDS: Field[] = [{ name: 'id', type: 'int64' }];
const DEFAULT = 'projects/p/datasets/d/tables/t/streams/_default';
let fake: BigQueryFake;
let client: WriteClient;

beforeAll(async () => {
  fake = await start({ datasets: ['d'] });
  client = writeClient('p', fake.grpcPort);
});
afterAll(async () => {
  await client.close();
  await fake.close();
});
beforeEach(async () => {
  fake.faults.clear();
  const dataset = restClient('p', fake.restUrl).dataset('d');
  await dataset.table('t').delete({ ignoreNotFound: true });
  await dataset.createTable('t', { schema: { fields: [{ name: 'id', type: 'INTEGER' }] } } as object);
  fake.journal.clear();
});

const insert = (...ids: number[]): Promise<Response> =>
  fetch(`${fake.restUrl}/bigquery/v2/projects/p/datasets/d/tables/t/insertAll`, {
    method: 'POST',
    body: JSON.stringify({ rows: ids.map(id => ({ insertId: `i${id}`, json: { id } })) }),
    signal: AbortSignal.timeout(1000),
  });
const stored = async (): Promise<unknown[]> => (await fake.sql('SELECT id FROM d.t ORDER BY id')).map(row => row['id']);
const append = (ids: number[]): ReturnType<typeof rows> =>
  rows(
    FIELDS,
    ids.map(id => ({ id })),
    { stream: DEFAULT },
  );

test('REST: the connection breaks before anything is applied', async () => {
  fake.faults.add({ method: 'insertAll', action: { kind: 'kill', when: 'before' } });
  await expect(insert(1)).rejects.toThrow();
  expect(await stored()).toEqual([]);
  expect((await insert(1)).status).toBe(200);
  expect(fake.journal.list().map(each => [each.outcome, each.applied, each.fault])).toEqual([
    ['killed', false, 'kill'],
    ['ok', true, undefined],
  ]);
});

test('REST: the connection breaks after all is applied, and the retry is dropped by its insertId', async () => {
  fake.faults.add({ method: 'insertAll', action: { kind: 'kill', when: 'after' } });
  await expect(insert(1)).rejects.toThrow();
  expect(await stored()).toEqual([1n]);
  expect((await insert(1)).status).toBe(200);
  expect(await stored()).toEqual([1n]);
});

test('REST: an answer that never comes', async () => {
  fake.faults.add({ method: 'insertAll', action: { kind: 'drop-ack' } });
  await expect(insert(1)).rejects.toMatchObject({ name: 'TimeoutError' });
  expect(await stored()).toEqual([1n]);
});

test('REST: a burst of quota errors, from the second call on', async () => {
  const action = { kind: 'rest-error', reason: 'rateLimitExceeded', message: 'Exceeded rate limits' } as const;
  fake.faults.add({ method: 'insertAll', from: 2, times: 2, action });
  const statuses = [];
  for (let i = 0; i < 4; i++) statuses.push((await insert(i)).status);
  expect(statuses).toEqual([200, 403, 403, 200]);
  fake.faults.add({ method: 'insertAll', action: { ...action, reason: 'quotaExceeded' } });
  expect(await (await insert(9)).json()).toMatchObject({ error: { code: 403, errors: [{ reason: 'quotaExceeded' }] } });
});

test('REST: faults by predicate, and answers of proxies', async () => {
  fake.faults.add({
    when: call => call.method === 'insertAll' && (call.rows ?? 0) > 1,
    action: { kind: 'http', status: 502, body: '<html>Bad Gateway</html>' },
  });
  expect((await insert(1)).status).toBe(200);
  const answer = await insert(2, 3);
  expect([answer.status, await answer.text()]).toEqual([502, '<html>Bad Gateway</html>']);
});

test('gRPC: an ack is dropped after applying, then the connection stays silent', async () => {
  fake.faults.add({ method: 'AppendRows', from: 2, action: { kind: 'drop-ack' } });
  const appender = new Appender(client);
  await appender.append(append([1]));
  appender.send(append([2]));
  appender.send(append([3]));
  await expect.poll(stored).toEqual([1n, 2n, 3n]);
  expect(appender.unread).toBe(0);
  expect(fake.journal.list('AppendRows').map(each => each.outcome)).toEqual(['ok', 'hidden:ok', 'ok']);
});

test('gRPC: the connection breaks before or after a request is applied', async () => {
  for (const [when, left] of [
    ['before', []],
    ['after', [2n]],
  ] as const) {
    fake.faults.add({ method: 'AppendRows', action: { kind: 'kill', when } });
    const appender = new Appender(client);
    appender.send(append([2]));
    expect((await appender.ended).code).toBe(14);
    expect(await stored()).toEqual(left);
  }
});

test('gRPC: throttling ends the connection, a quota error stands in the answer', async () => {
  const message = 'The request was throttled: Task is overloaded (memory-protection)';
  fake.faults.add({ method: 'AppendRows', action: { kind: 'grpc-error', code: 14, message } });
  const first = new Appender(client);
  first.send(append([1]));
  expect(await first.ended).toMatchObject({ code: 14, details: message });
  fake.faults.add({
    method: 'AppendRows',
    action: { kind: 'grpc-error', code: 8, message: 'Exceeds quota', inBand: true },
  });
  const second = new Appender(client);
  expect((await second.append(append([1]))).error?.code).toBe(8);
  expect((await second.append(append([1]))).error ?? null).toBeNull();
  expect(await stored()).toEqual([1n]);
  await second.close();
});

test('gRPC: a commit whose answer is lost has happened', async () => {
  const parent = 'projects/p/datasets/d/tables/t';
  const [stream] = await client.createWriteStream({ parent, writeStream: { type: 'PENDING' } });
  const name = stream.name ?? '';
  const appender = new Appender(client);
  await appender.append(rows(FIELDS, [{ id: 1 }], { stream: name }));
  await appender.close();
  await client.finalizeWriteStream({ name });
  fake.faults.add({ method: 'BatchCommitWriteStreams', action: { kind: 'kill', when: 'after' } });
  const commit = () =>
    client.batchCommitWriteStreams({ parent, writeStreams: [name] }, { maxRetries: 0, timeout: 2000 });
  const first = await commit().then(
    ([each]) => each,
    (error: { code: number }) => error,
  );
  // The client may have tried again by itself.
  if ('code' in first) expect([4, 14]).toContain(first.code);
  expect(await stored()).toEqual([1n]);
  expect((await commit())[0].streamErrors).toMatchObject([{ code: 'STREAM_ALREADY_COMMITTED' }]);
});

test('a column appears in the middle of a load, and the connection hears of it once', async () => {
  const appender = new Appender(client);
  await appender.append(append([1]));
  fake.faults.add({ method: 'AppendRows', action: { kind: 'add-column', field: { name: 'extra', type: 'STRING' } } });
  const told = await appender.append(append([2]));
  expect(told.updatedSchema?.fields?.map(field => field.name)).toEqual(['id', 'extra']);
  expect((await appender.append(append([3]))).updatedSchema ?? null).toBeNull();
  const wider: Field[] = [...FIELDS, { name: 'extra', type: 'string' }];
  expect((await appender.append(rows(wider, [{ id: 4, extra: 'x' }], { stream: DEFAULT }))).error ?? null).toBeNull();
  expect(await fake.sql('SELECT * FROM d.t ORDER BY id')).toEqual([
    ...[1n, 2n, 3n].map(id => ({ id, extra: null })),
    { id: 4n, extra: 'x' },
  ]);
  await appender.close();
});

test('a delay holds back this request and those behind it', async () => {
  fake.faults.add({ method: 'AppendRows', action: { kind: 'delay', ms: 150 } });
  const started = performance.now();
  const appender = new Appender(client);
  appender.send(append([1]));
  appender.send(append([2]));
  await appender.next();
  await appender.next();
  expect(performance.now() - started).toBeGreaterThan(140);
  await appender.close();
});

test('the journal says what was sent', async () => {
  await insert(7, 8);
  const appender = new Appender(client);
  await appender.append({ ...append([1]), traceId: 'me' });
  await appender.close();
  expect(fake.journal.list()).toMatchObject([
    { method: 'insertAll', table: 'p:d.t', rows: 2, insertIds: ['i7', 'i8'], outcome: 'ok', applied: true },
    { method: 'connect' },
    { method: 'AppendRows', table: 'p:d.t', stream: DEFAULT, rows: 1, traceId: 'me', outcome: 'ok' },
  ]);
});

test('in its own process, steered over HTTP', async () => {
  const main = new URL('./main.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [main, '--rest-port', '0', '--grpc-port', '0', '--dataset', 'd', '--count'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const url = /BIGQUERY_EMULATOR_HOST=(\S+)/.exec(line)?.[1] ?? '';
  const ask = (verb: string, path: string, body?: object): Promise<Response> =>
    fetch(url + path, { method: verb, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const tables = '/projects/p/datasets/d/tables';
  const fields = [{ name: 'id', type: 'INTEGER' }];
  await ask('POST', tables, { tableReference: { tableId: 't' }, schema: { fields } });
  const action = { kind: 'rest-error', reason: 'backendError', message: 'try again' };
  await ask('POST', '/__faults', { method: 'insertAll', times: 0, action });
  expect((await ask('POST', `${tables}/t/insertAll`, { rows: [{ json: { id: 1 } }] })).status).toBe(503);
  await ask('DELETE', '/__faults');
  expect(
    (await ask('POST', `${tables}/t/insertAll`, { rows: [{ json: { id: 1 } }, { json: { id: 2 } }] })).status,
  ).toBe(200);
  expect(await (await ask('GET', '/__totals')).json()).toMatchObject({ 'p:d.t': { rows: 2 } });
  const { entries } = (await (await ask('GET', '/__journal?method=insertAll')).json()) as {
    entries: { outcome: string }[];
  };
  expect(entries.map(each => each.outcome)).toEqual(['backendError', 'ok']);
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
}, 60_000);
