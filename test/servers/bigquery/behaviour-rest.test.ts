/** The REST behaviours that README.md lists, asked by the official client. Other targets: suite/target.ts. */
import { expect } from 'vitest';
import { behaviour, insertAll, newTable, read, said, useTarget } from './suite/behaviour.ts';

useTarget();

const ID = { name: 'id', type: 'INTEGER', mode: 'REQUIRED' };
const NAME = { name: 'name', type: 'STRING' };
const FIELDS = [ID, NAME];

behaviour('a second table of the same name is a duplicate', async target => {
  const table = await newTable(target, FIELDS);
  await expect(target.bigquery.dataset(target.dataset).createTable(table, {})).rejects.toMatchObject({
    code: 409,
    errors: [
      {
        reason: 'duplicate',
        message: said(`Already Exists: Table ${target.project}:${target.dataset}.${table}`),
      },
    ],
  });
});

behaviour('a table keeps its partitioning, clustering and modes', async target => {
  const fields = [...FIELDS, { name: 'at', type: 'TIMESTAMP' }, { name: 'tags', type: 'STRING', mode: 'REPEATED' }];
  const table = await newTable(target, fields, {
    timePartitioning: { type: 'DAY', field: 'at' },
    clustering: { fields: ['name'] },
  });
  const [metadata] = (await target.bigquery.dataset(target.dataset).table(table).getMetadata()) as [
    Record<string, never>,
    unknown,
  ];
  expect(metadata).toMatchObject({
    timePartitioning: { type: 'DAY', field: 'at' },
    clustering: { fields: ['name'] },
    schema: { fields: [{ name: 'id', mode: 'REQUIRED' }, {}, { type: 'TIMESTAMP' }, { mode: 'REPEATED' }] },
  });
});

behaviour('rows of insertAll are there at once', async target => {
  const table = await newTable(target, FIELDS);
  const answer = await insertAll(target, table, { rows: [{ json: { id: 1, name: 'a' } }, { json: { id: '2' } }] });
  expect(answer.status).toBe(200);
  expect(answer.body).toMatchObject({ kind: 'bigquery#tableDataInsertAllResponse' });
  expect(answer.body.insertErrors ?? []).toEqual([]);
  expect(await read(target, table)).toEqual([
    { id: 1, name: 'a' },
    { id: 2, name: null },
  ]);
});

behaviour('one bad row stops the request: nothing is written', async target => {
  const table = await newTable(target, FIELDS);
  const answer = await insertAll(target, table, {
    rows: [{ json: { id: 1 } }, { json: { id: 'zz' } }, { json: { id: 3 } }],
  });
  expect(answer.status).toBe(200);
  expect(answer.body.insertErrors).toMatchObject([
    { index: 0, errors: [{ reason: 'stopped', location: '', message: '' }] },
    {
      index: 1,
      errors: [
        {
          reason: 'invalid',
          location: 'id',
          message: expect.stringContaining('Cannot convert value to integer (bad value): zz') as string,
        },
      ],
    },
    { index: 2, errors: [{ reason: 'stopped' }] },
  ]);
  expect(await read(target, table)).toEqual([]);
});

behaviour('skipInvalidRows writes the good rows', async target => {
  const table = await newTable(target, FIELDS);
  const rows = [{ json: { id: 1 } }, { json: { id: 'zz' } }, { json: { id: 3 } }];
  const answer = await insertAll(target, table, { rows, skipInvalidRows: true });
  expect(answer.body.insertErrors?.map(each => each.index)).toEqual([1]);
  expect((await read(target, table)).map(row => row['id'])).toEqual([1, 3]);
});

behaviour('an unknown field is refused', async target => {
  const table = await newTable(target, FIELDS);
  const answer = await insertAll(target, table, { rows: [{ json: { id: 1, nope: 1 } }] });
  expect(answer.body.insertErrors).toMatchObject([
    {
      index: 0,
      errors: [{ reason: 'invalid', location: 'nope', message: expect.stringContaining('no such field') as string }],
    },
  ]);
});

behaviour('ignoreUnknownValues passes over unknown fields', async target => {
  const table = await newTable(target, FIELDS);
  const answer = await insertAll(target, table, { rows: [{ json: { id: 1, nope: 1 } }], ignoreUnknownValues: true });
  expect(answer.body.insertErrors ?? []).toEqual([]);
  expect(await read(target, table)).toEqual([{ id: 1, name: null }]);
});

behaviour('a missing required field is refused', async target => {
  const table = await newTable(target, FIELDS);
  const answer = await insertAll(target, table, { rows: [{ json: { name: 'x' } }] });
  expect(answer.body.insertErrors).toMatchObject([
    { errors: [{ reason: 'invalid', message: expect.stringContaining('Missing required field') as string }] },
  ]);
});

behaviour('a repeated insertId is dropped without a word', async target => {
  const table = await newTable(target, FIELDS);
  for (let i = 0; i < 2; i++) {
    const answer = await insertAll(target, table, {
      rows: [{ insertId: 'a-0-7-0', json: { id: 1 } }, { json: { id: 2 } }],
    });
    expect(answer.body.insertErrors ?? []).toEqual([]);
  }
  expect((await read(target, table)).map(row => row['id'])).toEqual([1, 2, 2]);
});

behaviour('a table that is not there is not found', async target => {
  const answer = await insertAll(target, 'nowhere', { rows: [{ json: { id: 1 } }] });
  expect(answer.status).toBe(404);
  expect(answer.body.error).toMatchObject({
    code: 404,
    message: said(`Not found: Table ${target.project}:${target.dataset}.nowhere`),
    errors: [{ reason: 'notFound' }],
  });
});

behaviour('a table without columns takes no rows', async target => {
  const table = `bare_${Date.now().toString(36)}`;
  await target.bigquery.dataset(target.dataset).createTable(table, {});
  const answer = await insertAll(target, table, { rows: [{ json: { id: 1 } }] });
  expect(answer.body.error).toMatchObject({ code: 400, message: expect.stringContaining('has no schema') as string });
});

behaviour('a request without rows is refused', async target => {
  const table = await newTable(target, FIELDS);
  const answer = await insertAll(target, table, { rows: [] });
  expect(answer.body.error).toMatchObject({ code: 400, errors: [{ reason: 'invalid' }] });
});

behaviour('a body over 10 MB is too large', async target => {
  const table = await newTable(target, FIELDS);
  const row = { json: { id: 1, name: 'x'.repeat(1_000_000) } };
  const answer = await insertAll(target, table, { rows: Array.from({ length: 11 }, () => row) });
  expect([413, 400]).toContain(answer.status);
  if (answer.status === 400) expect(answer.body.error?.message).toContain('Request payload size exceeds the limit');
  expect(await read(target, table)).toEqual([]);
});

behaviour('more than 50,000 rows are too many', async target => {
  const table = await newTable(target, FIELDS);
  const answer = await insertAll(target, table, {
    rows: Array.from({ length: 50_001 }, (_, id) => ({ json: { id } })),
  });
  expect(answer.body.error).toMatchObject({ code: 400, message: expect.stringContaining('too many rows') as string });
});

behaviour('a nullable column can be added', async target => {
  const table = target.bigquery.dataset(target.dataset).table(await newTable(target, FIELDS));
  await insertAll(target, table.id ?? '', { rows: [{ json: { id: 1 } }] });
  await table.setMetadata({ schema: { fields: [...FIELDS, { name: 'extra', type: 'STRING' }] } });
  expect(await read(target, table.id ?? '')).toEqual([{ id: 1, name: null, extra: null }]);
});

behaviour('a required column cannot be added', async target => {
  const table = target.bigquery.dataset(target.dataset).table(await newTable(target, FIELDS));
  const fields = [...FIELDS, { name: 'extra', type: 'STRING', mode: 'REQUIRED' }];
  await expect(table.setMetadata({ schema: { fields } })).rejects.toMatchObject({
    code: 400,
    errors: [{ reason: 'invalid', message: expect.stringContaining('Provided Schema does not match Table') as string }],
  });
});

behaviour('a column cannot change its type or go', async target => {
  const table = target.bigquery.dataset(target.dataset).table(await newTable(target, FIELDS));
  const changed = [ID, { name: 'name', type: 'INTEGER' }];
  await expect(table.setMetadata({ schema: { fields: changed } })).rejects.toMatchObject({ code: 400 });
  await expect(table.setMetadata({ schema: { fields: [ID] } })).rejects.toMatchObject({ code: 400 });
});

behaviour('a required column can become nullable', async target => {
  const table = target.bigquery.dataset(target.dataset).table(await newTable(target, FIELDS));
  await table.setMetadata({ schema: { fields: [{ name: 'id', type: 'INTEGER' }, NAME] } });
  const answer = await insertAll(target, table.id ?? '', { rows: [{ json: { name: 'x' } }] });
  expect(answer.body.insertErrors ?? []).toEqual([]);
});

behaviour('a patch with an old etag is refused', async target => {
  const table = await newTable(target, FIELDS);
  const url = `${target.restUrl}/bigquery/v2/projects/${target.project}/datasets/${target.dataset}/tables/${table}`;
  const headers = { 'content-type': 'application/json', ...(await target.headers()) };
  const { etag } = (await (await fetch(url, { headers })).json()) as { etag: string };
  const patch = (match: string): Promise<Response> =>
    fetch(url, {
      method: 'PATCH',
      headers: { ...headers, 'if-match': match },
      body: JSON.stringify({ description: 'new' }),
    });
  expect((await patch(etag)).status).toBe(200);
  const second = await patch(etag);
  expect(second.status).toBe(412);
  expect(await second.json()).toMatchObject({ error: { errors: [{ reason: 'conditionNotMet' }] } });
});

behaviour('integers beyond 2^53 arrive whole', async target => {
  const table = await newTable(target, FIELDS);
  await insertAll(target, table, {
    rows: [{ json: { id: '9223372036854775807' } }, { json: { id: '-9007199254740993' } }],
  });
  const rows = await read(target, table, '1', 'CAST(id AS STRING) AS id');
  expect(rows.map(row => row['id'])).toEqual(['-9007199254740993', '9223372036854775807']);
});

behaviour('every type goes in and comes back', async target => {
  const table = await newTable(target, [
    { name: 'id', type: 'INT64' },
    { name: 'f', type: 'FLOAT64' },
    { name: 'b', type: 'BOOL' },
    { name: 'n', type: 'NUMERIC' },
    { name: 'bin', type: 'BYTES' },
    { name: 'd', type: 'DATE' },
    { name: 'dt', type: 'DATETIME' },
    { name: 'ti', type: 'TIME' },
    { name: 'ts', type: 'TIMESTAMP' },
    { name: 'tags', type: 'STRING', mode: 'REPEATED' },
    {
      name: 'r',
      type: 'RECORD',
      fields: [
        { name: 'x', type: 'INTEGER' },
        { name: 'l', type: 'STRING', mode: 'REPEATED' },
      ],
    },
  ]);
  const json = {
    id: 1,
    f: 1.5,
    b: true,
    n: '1234567890.123456789',
    bin: 'AAEC',
    d: '2024-02-29',
    dt: '2024-02-29T12:34:56.789',
    ti: '12:34:56.789',
    ts: '2024-02-29T12:34:56.789123Z',
    tags: ['a', 'b'],
    r: { x: 7, l: ['z'] },
  };
  const answer = await insertAll(target, table, { rows: [{ json }] });
  expect(answer.body.insertErrors ?? []).toEqual([]);
  const [row] = (await read(target, table)) as [Record<string, never>];
  expect(row).toMatchObject({ id: 1, f: 1.5, b: true, tags: ['a', 'b'], r: { x: 7, l: ['z'] } });
  expect(String(row['n'])).toBe('1234567890.123456789');
  expect((row['bin'] as Buffer | undefined)?.toString('hex')).toBe('000102');
  const text = Object.fromEntries(
    ['d', 'dt', 'ti', 'ts'].map(name => [name, (row[name] as { value: string } | undefined)?.value]),
  );
  expect(text).toEqual({
    d: '2024-02-29',
    dt: expect.stringMatching(/^2024-02-29T12:34:56\.789(000)?$/) as string,
    ti: expect.stringMatching(/^12:34:56\.789(000)?$/) as string,
    ts: expect.stringMatching(/^2024-02-29T12:34:56\.789123(000)?Z$/) as string,
  });
});

behaviour('tabledata.list gives the rows page by page', async target => {
  const table = await newTable(target, FIELDS);
  await insertAll(target, table, { rows: Array.from({ length: 5 }, (_, id) => ({ json: { id } })) });
  const seen: number[] = [];
  let pages = 0;
  for (let query: object | null = { maxResults: 2, autoPaginate: false }; query; pages++) {
    const [rows, next] = (await target.bigquery.dataset(target.dataset).table(table).getRows(query)) as never as [
      { id: number }[],
      object | null,
    ];
    seen.push(...rows.map(row => row.id));
    query = next;
  }
  expect(seen.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
  expect(pages).toBe(3);
});

behaviour('a wrong query is an error with its place', async target => {
  await expect(target.bigquery.query('SELECT nope FROM nowhere')).rejects.toMatchObject({
    code: expect.any(Number) as number,
  });
});
