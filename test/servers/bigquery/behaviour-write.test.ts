/** The Storage Write API behaviours that README.md lists, by the official generated client. */
import type { protos } from '@google-cloud/bigquery-storage';
import { expect } from 'vitest';
import { storage } from './proto/protos.ts';
import { Appender, rows, storageCodes } from './suite/append.ts';
import { behaviour, newTable, path, read, useTarget } from './suite/behaviour.ts';
import type { Field } from './suite/rows.ts';
import type { Target } from './suite/target.ts';

useTarget();

const COLUMNS = [
  { name: 'id', type: 'INTEGER' },
  { name: 'name', type: 'STRING' },
];
const FIELDS: Field[] = [
  { name: 'id', type: 'int64' },
  { name: 'name', type: 'string' },
];
const { StorageErrorCode } = storage.StorageError;
const codes = (response: protos.google.cloud.bigquery.storage.v1.IAppendRowsResponse): unknown[] =>
  storageCodes(response, storage.StorageError);

async function newStream(target: Target, table: string, type: 'COMMITTED' | 'BUFFERED' | 'PENDING'): Promise<string> {
  const [stream] = await target.write.createWriteStream({ parent: path(target, table), writeStream: { type } });
  return stream.name ?? '';
}

const ids = async (target: Target, table: string): Promise<unknown[]> =>
  (await read(target, table)).map(row => row['id']);
const two = (first: number): { id: number; name: string }[] => [
  { id: first, name: `n${first}` },
  { id: first + 1, name: `n${first + 1}` },
];

behaviour('rows on the default stream are there at once', async target => {
  const table = await newTable(target, COLUMNS);
  const appender = new Appender(target.write);
  const response = await appender.append(rows(FIELDS, two(1), { stream: `${path(target, table)}/streams/_default` }));
  expect(response.error ?? null).toBeNull();
  await appender.close();
  expect(await read(target, table)).toEqual([1, 2].map(id => ({ id, name: `n${id}` })));
});

behaviour('the stream and the schema stick', async target => {
  const table = await newTable(target, COLUMNS);
  const appender = new Appender(target.write);
  await appender.append(rows(FIELDS, two(1), { stream: `${path(target, table)}/streams/_default` }));
  expect((await appender.append(rows(FIELDS, two(3), { schema: false }))).error ?? null).toBeNull();
  await appender.close();
  expect(await ids(target, table)).toEqual([1, 2, 3, 4]);
});

behaviour('the default stream gives no offset', async target => {
  const table = await newTable(target, COLUMNS);
  const appender = new Appender(target.write);
  const response = await appender.append(rows(FIELDS, two(1), { stream: `${path(target, table)}/streams/_default` }));
  expect(response.appendResult?.offset ?? null).toBeNull();
  await appender.close();
});

behaviour('the default stream takes no offset', async target => {
  const table = await newTable(target, COLUMNS);
  const appender = new Appender(target.write);
  const stream = `${path(target, table)}/streams/_default`;
  appender.send(rows(FIELDS, two(1), { stream, offset: 0 }));
  const code = await Promise.race([
    appender.next().then(
      each => each.error?.code,
      () => null,
    ),
    appender.ended.then(each => each.code),
  ]);
  expect(code ?? (await appender.ended).code).toBe(3);
  expect(await ids(target, table)).toEqual([]);
});

behaviour('a created stream says its type and the schema', async target => {
  const table = await newTable(target, COLUMNS);
  const [stream] = await target.write.createWriteStream({
    parent: path(target, table),
    writeStream: { type: 'COMMITTED' },
  });
  expect(stream.name).toMatch(new RegExp(`^${path(target, table)}/streams/.+`));
  expect(stream.tableSchema?.fields?.map(field => field.name)).toEqual(['id', 'name']);
  const [again] = await target.write.getWriteStream({ name: stream.name ?? '' });
  expect(again.type).toBe('COMMITTED');
});

behaviour('offsets count the rows of a stream', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = await newStream(target, table, 'COMMITTED');
  const appender = new Appender(target.write);
  expect(Number((await appender.append(rows(FIELDS, two(1), { stream, offset: 0 }))).appendResult?.offset?.value)).toBe(
    0,
  );
  expect(Number((await appender.append(rows(FIELDS, two(3), { stream, offset: 2 }))).appendResult?.offset?.value)).toBe(
    2,
  );
  expect(await ids(target, table)).toEqual([1, 2, 3, 4]);
  await appender.close();
});

behaviour('a wrong offset is an answer, and the connection goes on', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = await newStream(target, table, 'COMMITTED');
  const appender = new Appender(target.write);
  await appender.append(rows(FIELDS, two(1), { stream, offset: 0 }));
  expect((await appender.append(rows(FIELDS, two(1), { stream, offset: 0 }))).error?.code).toBe(6);
  expect((await appender.append(rows(FIELDS, two(9), { stream, offset: 7 }))).error?.code).toBe(11);
  expect((await appender.append(rows(FIELDS, two(3), { stream, offset: 2 }))).error ?? null).toBeNull();
  expect(await ids(target, table)).toEqual([1, 2, 3, 4]);
  await appender.close();
});

behaviour('wrong offsets carry a StorageError', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = await newStream(target, table, 'COMMITTED');
  const appender = new Appender(target.write);
  await appender.append(rows(FIELDS, two(1), { stream, offset: 0 }));
  const exists = await appender.append(rows(FIELDS, two(1), { stream, offset: 0 }));
  expect(codes(exists)).toEqual([StorageErrorCode.OFFSET_ALREADY_EXISTS]);
  expect(exists.error?.message).toContain('The offset is within stream, expected offset 2, received 0');
  const beyond = await appender.append(rows(FIELDS, two(1), { stream, offset: 5 }));
  expect(codes(beyond)).toEqual([StorageErrorCode.OFFSET_OUT_OF_RANGE]);
  await appender.close();
});

behaviour('answers come in the order of the requests', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = await newStream(target, table, 'COMMITTED');
  const appender = new Appender(target.write);
  for (let i = 0; i < 20; i++) appender.send(rows(FIELDS, two(2 * i), { stream, offset: 2 * i, schema: i === 0 }));
  for (let i = 0; i < 20; i++) expect(Number((await appender.next()).appendResult?.offset?.value)).toBe(2 * i);
  await appender.close();
});

behaviour('finalising gives the number of rows', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = await newStream(target, table, 'COMMITTED');
  const appender = new Appender(target.write);
  await appender.append(rows(FIELDS, two(1), { stream, offset: 0 }));
  await appender.close();
  const [{ rowCount }] = await target.write.finalizeWriteStream({ name: stream });
  expect(Number(rowCount)).toBe(2);
});

behaviour('a finalised stream takes no rows', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = await newStream(target, table, 'COMMITTED');
  await target.write.finalizeWriteStream({ name: stream });
  const appender = new Appender(target.write);
  const response = await appender.append(rows(FIELDS, two(1), { stream, offset: 0 }));
  expect(response.error?.code).toBe(3);
  expect(response.error?.message).toContain('Stream has been finalized and cannot be appended');
  expect(codes(response)).toEqual([StorageErrorCode.STREAM_FINALIZED]);
  await appender.close();
});

behaviour('buffered rows are visible up to the flush', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = await newStream(target, table, 'BUFFERED');
  const appender = new Appender(target.write);
  await appender.append(rows(FIELDS, two(1), { stream, offset: 0 }));
  await appender.append(rows(FIELDS, two(3), { stream, offset: 2 }));
  expect(await ids(target, table)).toEqual([]);
  const [{ offset }] = await target.write.flushRows({ writeStream: stream, offset: { value: 2 } });
  expect(Number(offset)).toBe(2);
  expect(await ids(target, table)).toEqual([1, 2, 3]);
  await appender.close();
});

behaviour('flushing again changes nothing', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = await newStream(target, table, 'BUFFERED');
  const appender = new Appender(target.write);
  await appender.append(rows(FIELDS, two(1), { stream, offset: 0 }));
  for (let i = 0; i < 2; i++) await target.write.flushRows({ writeStream: stream, offset: { value: 1 } });
  await target.write.flushRows({ writeStream: stream, offset: { value: 0 } });
  expect(await ids(target, table)).toEqual([1, 2]);
  await appender.close();
});

behaviour('a flush beyond the end is out of range', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = await newStream(target, table, 'BUFFERED');
  await expect(target.write.flushRows({ writeStream: stream, offset: { value: 5 } })).rejects.toMatchObject({
    code: 11,
  });
});

behaviour('a finalised buffered stream cannot be flushed', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = await newStream(target, table, 'BUFFERED');
  const appender = new Appender(target.write);
  await appender.append(rows(FIELDS, two(1), { stream, offset: 0 }));
  await target.write.flushRows({ writeStream: stream, offset: { value: 1 } });
  await target.write.finalizeWriteStream({ name: stream });
  await expect(target.write.flushRows({ writeStream: stream, offset: { value: 1 } })).rejects.toMatchObject({
    code: 3,
  });
  await appender.close();
});

behaviour('pending streams are committed all together', async target => {
  const table = await newTable(target, COLUMNS);
  const streams = [await newStream(target, table, 'PENDING'), await newStream(target, table, 'PENDING')];
  for (const [i, stream] of streams.entries()) {
    const appender = new Appender(target.write);
    await appender.append(rows(FIELDS, two(1 + 2 * i), { stream, offset: 0 }));
    await appender.close();
    await target.write.finalizeWriteStream({ name: stream });
  }
  expect(await ids(target, table)).toEqual([]);
  const [answer] = await target.write.batchCommitWriteStreams({ parent: path(target, table), writeStreams: streams });
  expect(answer.streamErrors ?? []).toEqual([]);
  expect(answer.commitTime).toBeTruthy();
  expect(await ids(target, table)).toEqual([1, 2, 3, 4]);
});

behaviour('a commit with one stream that is not finalised commits none', async target => {
  const table = await newTable(target, COLUMNS);
  const streams = [await newStream(target, table, 'PENDING'), await newStream(target, table, 'PENDING')];
  const appender = new Appender(target.write);
  await appender.append(rows(FIELDS, two(1), { stream: streams[0] ?? '', offset: 0 }));
  await appender.close();
  await target.write.finalizeWriteStream({ name: streams[0] ?? '' });
  const [answer] = await target.write.batchCommitWriteStreams({ parent: path(target, table), writeStreams: streams });
  expect(answer.commitTime ?? null).toBeNull();
  expect(answer.streamErrors).toMatchObject([{ code: 'INVALID_STREAM_STATE', entity: streams[1] }]);
  expect(await ids(target, table)).toEqual([]);
});

behaviour('a stream is committed once', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = await newStream(target, table, 'PENDING');
  await target.write.finalizeWriteStream({ name: stream });
  const commit = () => target.write.batchCommitWriteStreams({ parent: path(target, table), writeStreams: [stream] });
  expect((await commit())[0].commitTime).toBeTruthy();
  expect((await commit())[0].streamErrors).toMatchObject([{ code: 'STREAM_ALREADY_COMMITTED' }]);
});

behaviour('a bad row refuses the whole request and is named', async target => {
  const table = await newTable(target, [{ name: 'id', type: 'INTEGER', mode: 'REQUIRED' }, COLUMNS[1] as never]);
  const stream = await newStream(target, table, 'COMMITTED');
  const appender = new Appender(target.write);
  const response = await appender.append(
    rows(FIELDS, [{ id: 1 }, { name: 'no id' }, { id: 3 }], { stream, offset: 0 }),
  );
  expect(response.error?.code).toBe(3);
  expect(response.error?.message).toContain(
    'Errors found while processing rows. Please refer to the row_errors field for details.',
  );
  expect(response.rowErrors).toMatchObject([{ code: 'FIELDS_ERROR' }]);
  expect(response.rowErrors?.map(each => Number(each.index))).toEqual([1]);
  expect(await ids(target, table)).toEqual([]);
  expect((await appender.append(rows(FIELDS, [{ id: 1 }, { id: 3 }], { stream, offset: 0 }))).error ?? null).toBeNull();
  expect(await ids(target, table)).toEqual([1, 3]);
  await appender.close();
});

behaviour('a field that the table has not is a schema mismatch', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = `${path(target, table)}/streams/_default`;
  const appender = new Appender(target.write);
  const response = await appender.append(rows([...FIELDS, { name: 'nope', type: 'string' }], two(1), { stream }));
  expect(response.error?.code).toBe(3);
  expect(codes(response)).toEqual([StorageErrorCode.SCHEMA_MISMATCH_EXTRA_FIELDS]);
  await appender.close();
});

behaviour('a field of the wrong type is refused', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = `${path(target, table)}/streams/_default`;
  const appender = new Appender(target.write);
  const wrong: Field[] = [{ name: 'id', type: 'string' }];
  const response = await appender.append(rows(wrong, [{ id: 'x' }], { stream }));
  expect(response.error?.code).toBe(3);
  expect(response.error?.message).toContain('The proto field mismatched with BigQuery field at root.id');
  await appender.close();
});

behaviour('a table that is not there ends the connection with NOT_FOUND', async target => {
  const appender = new Appender(target.write);
  appender.send(rows(FIELDS, two(1), { stream: `${path(target, 'nowhere')}/streams/_default` }));
  expect((await appender.ended).code).toBe(5);
});

behaviour('no stream is made for a table that is not there', async target => {
  await expect(newStream(target, 'nowhere', 'COMMITTED')).rejects.toMatchObject({ code: 5 });
});

behaviour('a request over 10 MB is refused', async target => {
  const table = await newTable(target, COLUMNS);
  const stream = `${path(target, table)}/streams/_default`;
  const appender = new Appender(target.write);
  const big = Array.from({ length: 11 }, (_, id) => ({ id, name: 'x'.repeat(1_000_000) }));
  appender.send(rows(FIELDS, big, { stream }));
  const code = await Promise.race([
    appender.next().then(
      each => each.error?.code,
      () => null,
    ),
    appender.ended.then(each => each.code),
  ]);
  expect(code ?? (await appender.ended).code).toBe(3);
});
