import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../../core/base/clock.ts';
import { Metrics } from '../../../../core/base/metrics.ts';
import type { EngineHost } from '../../../../core/engine/host.ts';
import { startHttpServer } from '../../../../server/api/http/http-server.ts';
import { type Project, startProject } from '../../support.ts';

const RECORDS = '/api/v1/topics/t/records';
const PROBLEM = 'application/problem+json; charset=utf-8';

/** Sends bytes as they are and gives all that comes back. */
async function raw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('data', chunk => (answer += chunk.toString()));
  socket.write(bytes);
  await once(socket, 'close');
  return answer;
}

/** Status and code of an answer in raw bytes, which must be a problem. */
function problemIn(answer: string): [number, string] {
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  expect(head).toContain(`content-type: ${PROBLEM}`);
  return [Number(head.split(' ')[1]), (JSON.parse(body) as { code: string }).code];
}

describe('the HTTP API and those who mean it no good', () => {
  let project: Project;
  beforeAll(async () => {
    project = await startProject();
    await ask(RECORDS, { method: 'POST', body: 'first' });
  });
  afterAll(() => project.close());

  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(project.url + path, init);
    const text = await response.text();
    return { status: response.status, headers: response.headers, text };
  };
  /** Status and code of an answer, which must be a problem. */
  const problem = async (path: string, init: RequestInit = {}): Promise<[number, string]> => {
    const { status, headers, text } = await ask(path, init);
    expect(headers.get('content-type')).toBe(PROBLEM);
    return [status, (JSON.parse(text) as { code: string }).code];
  };
  const post = (body: string | Uint8Array<ArrayBuffer>, type = 'application/json', query = '') =>
    problem(RECORDS + query, { method: 'POST', headers: { 'content-type': type }, body });

  it.each([
    '?limit=0',
    '?limit=1001',
    '?limit=1e2',
    '?limit=0x10',
    '?limit=',
    '?limit=%20',
    '?limit=1&limit=2',
    '?limit=99999999999999999999',
    '?partition=-1',
    '?partition=2147483648',
    '?partition=0&offset=NaN',
    '?partition=0&offset=9007199254740993',
    '?partition=0&offset=1.5',
    '?offset=3',
  ])('refuses the query %s', async query => {
    expect(await problem(RECORDS + query)).toEqual([400, 'INVALID_QUERY']);
  });

  it('refuses offsets beyond the end and partitions that are not there', async () => {
    expect(await problem(`${RECORDS}?partition=0&offset=1000000`)).toEqual([400, 'OFFSET_OUT_OF_RANGE']);
    expect(await problem(`${RECORDS}?partition=1000000`)).toEqual([404, 'UNKNOWN_PARTITION']);
  });

  it('answers paths that cannot be decoded, are not there or lead elsewhere', async () => {
    for (const path of ['/%', '/%ZZ', '/api/v1/topics/%E0%A4%A/records']) {
      const answer = await raw(
        project.server.http.port,
        `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
      );
      expect(problemIn(answer)).toEqual([400, 'BAD_PATH']);
    }
    expect(await problem('/api/v1/topics/%00/records')).toEqual([404, 'UNKNOWN_TOPIC']);
    expect(await problem('/api/v1/topics/..%2F..%2Fetc%2Fpasswd/records')).toEqual([404, 'UNKNOWN_TOPIC']);
    expect(await problem('/api/v1/topics/constructor/records')).toEqual([404, 'UNKNOWN_TOPIC']);
    expect(await problem(`/${'a'.repeat(9000)}`)).toEqual([404, 'NOT_FOUND']);
  });

  it('says which methods a path takes', async () => {
    expect(await problem('/health', { method: 'PUT' })).toEqual([405, 'METHOD_NOT_ALLOWED']);
    expect(await problem(RECORDS, { method: 'DELETE' })).toEqual([405, 'METHOD_NOT_ALLOWED']);
    const options = await ask(RECORDS, { method: 'OPTIONS' });
    expect([options.status, options.headers.get('allow')]).toEqual([204, 'GET, HEAD, OPTIONS, POST']);
    for (const path of ['/', '/health', '/metrics', RECORDS]) {
      const head = await ask(path, { method: 'HEAD' });
      expect([head.status, head.text]).toEqual([200, '']);
    }
    // A stream without end has no length to tell: HEAD must not hang.
    expect((await ask('/api/v1/pipelines/x/tap', { method: 'HEAD' })).status).toBe(405);
  });

  it('refuses bodies that are too large, empty, no JSON, no UTF-8 or no records', async () => {
    expect(await post(new Uint8Array(20 * 1024 * 1024), 'application/octet-stream')).toEqual([413, 'BODY_TOO_LARGE']);
    expect(await post('')).toEqual([400, 'INVALID_RECORD']);
    expect(await post('{"records":[')).toEqual([400, 'INVALID_JSON']);
    expect(await post(Uint8Array.from([0x22, 0xff, 0x22]))).toEqual([400, 'INVALID_RECORD']);
    for (const body of ['null', '[]', '{"records":{}}', '{"records":[]}', '{"records":[1]}']) {
      expect(await post(body)).toEqual([400, 'INVALID_RECORD']);
    }
    expect(await post('['.repeat(100_000))).toEqual([400, 'INVALID_JSON']);
    expect(await post('\n\n', 'application/x-ndjson')).toEqual([400, 'INVALID_RECORD']);
  });

  it.each([
    '{"value":"x","timestamp":-1}',
    '{"value":"x","timestamp":1e300}',
    '{"value":"x","timestamp":8640000000000001}',
    '{"value":"x","partition":1.5}',
    '{"value":"x","partition":4294967296}',
    '{"value_base64":"!!!!"}',
    '{"value_base64":1}',
    '{"value":"x","value_base64":"eA=="}',
    '{"value":"x","headers":[1]}',
    '{"value":"x","headers":{"a":1}}',
    '{"value":"x","__proto__":{}}',
  ])('refuses the record %s', async record => {
    expect(await post(`{"records":[${record}]}`)).toEqual([400, 'INVALID_RECORD']);
  });

  it('writes none of the records when one of them is refused', async () => {
    const body = JSON.stringify({
      records: [
        { value: 'small', partition: 0 },
        { value: 'x'.repeat(2 * 1024 * 1024), partition: 1 },
      ],
    });
    const before = (await ask(RECORDS)).text;
    expect(await post(body)).toEqual([400, 'RECORD_TOO_LARGE']);
    expect((await ask(RECORDS)).text).toBe(before);
  });

  it("refuses writing to the broker's own topics and under strange content types", async () => {
    const own = '/api/v1/topics/__consumer_offsets/records';
    expect(await problem(own, { method: 'POST', body: 'x' })).toEqual([403, 'INTERNAL_TOPIC']);
    expect(await post('x', ';;;')).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
    expect(await post('x', 'text/plain', '?key=a&key=b')).toEqual([400, 'INVALID_QUERY']);
  });

  it('refuses writes from the pages of others', async () => {
    const from = (origin: string) => ({ method: 'POST', body: 'x', headers: { origin } });
    expect(await problem(RECORDS, from('https://example.com'))).toEqual([403, 'FOREIGN_ORIGIN']);
    expect(await problem(RECORDS, from('null'))).toEqual([403, 'FOREIGN_ORIGIN']);
    expect((await ask(RECORDS, from(project.url))).status).toBe(200);
  });

  it('hangs up on what is no HTTP, with a problem', async () => {
    const { port } = project.server.http;
    expect(problemIn(await raw(port, 'garbage\r\n\r\n'))).toEqual([400, 'BAD_REQUEST']);
    expect(problemIn(await raw(port, '\0\0\0\x14\0\x12\0\x03\0\0'))).toEqual([400, 'BAD_REQUEST']);
    const long = `GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`;
    expect(problemIn(await raw(port, long))).toEqual([431, 'HEADERS_TOO_LARGE']);
    expect((await ask('/health')).status).toBe(200);
  });

  it('keeps an answer within bounds, whatever the records weigh, and says where to go on', async () => {
    const value = 'x'.repeat(1000 * 1024);
    const heavy = '/api/v1/topics/heavy/records';
    for (let i = 0; i < 12; i++) await ask(heavy, { method: 'POST', body: value });
    const all = JSON.parse((await ask(`${heavy}?limit=1000`)).text) as {
      records: unknown[];
      partitions: { partition: number; next_offset: number; high_watermark: number }[];
    };
    expect(all.records).toHaveLength(9);
    let read = all.records.length;
    for (const { partition, next_offset: from } of all.partitions) {
      const rest = JSON.parse((await ask(`${heavy}?partition=${partition}&offset=${from}`)).text) as typeof all;
      read += rest.records.length;
    }
    expect(read).toBe(12);
  });
});

it('makes no topic when the configuration says so', async () => {
  const project = await startProject({
    'millstream.toml':
      '[broker]\nauto_create_topics = false\n[network]\nkafka_listen = "127.0.0.1:0"\nhttp_listen = "127.0.0.1:0"\n[topics.there]\n',
  });
  const post = async (topic: string): Promise<number> =>
    (await fetch(`${project.url}/api/v1/topics/${topic}/records`, { method: 'POST', body: 'x' })).status;
  expect(await post('elsewhere')).toBe(404);
  expect(project.server.broker.topicInfo('elsewhere')).toBe(null);
  expect(await post('there')).toBe(200);
  await project.close();
});

it('gives up on a request that does not arrive', async () => {
  const server = await startHttpServer({
    host: '127.0.0.1',
    port: 0,
    engineHost: {} as EngineHost,
    clock: systemClock,
    metrics: new Metrics(),
    version: '0',
    maxBatchBytes: 1000,
    autoCreateTopics: true,
    requestTimeoutMs: 50,
    pipelines: () => [],
    waitingFor: () => [],
    unhealthy: () => null,
  });
  const unfinished = `POST ${RECORDS} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n`;
  expect(problemIn(await raw(server.port, unfinished))).toEqual([408, 'REQUEST_TIMEOUT']);
  await server.close();
});
