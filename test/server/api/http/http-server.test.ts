import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PipelineStatus } from '../../../../server/pipeline-status.ts';
import { type Project, startProject, until } from '../../support.ts';

const PIPELINE = `
name = "people"
[source]
topic = "people"
[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["email"] }
[sinks.all.file]
path = "out/all.ndjson"
[dead_letter.file]
path = "out/dead.ndjson"
`;

describe('the HTTP API', () => {
  let project: Project;
  beforeAll(async () => {
    project = await startProject({ 'pipelines/people.toml': PIPELINE });
  });
  afterAll(() => project.close());

  const get = async (path: string) => {
    const response = await fetch(project.url + path);
    return {
      status: response.status,
      type: response.headers.get('content-type'),
      body: (await response.json()) as never,
    };
  };
  const post = async (path: string, body: string | Uint8Array<ArrayBuffer>, type = 'application/json') => {
    const response = await fetch(project.url + path, { method: 'POST', headers: { 'content-type': type }, body });
    return { status: response.status, body: (await response.json()) as never };
  };
  const status = async (): Promise<PipelineStatus> => (await get('/api/v1/pipelines/people')).body;

  it('says that it is alive and ready', async () => {
    expect(await get('/health')).toMatchObject({ status: 200, body: { status: 'healthy' } });
    expect(await get('/ready')).toMatchObject({ status: 200, body: { ready: true, waiting_for: [] } });
  });

  it('gives back what was produced: text, other JSON, bytes, null, headers, time, partition', async () => {
    const records = [
      { key: 'k', value: 'text', headers: { a: 'b', none: null }, timestamp: 1_700_000_000_000, partition: 2 },
      { value: { nested: [1, true] }, partition: 2 },
      { value_base64: Buffer.from([0xff, 0x00]).toString('base64'), partition: 2 },
      { key: 'tombstone', value: null, partition: 2 },
    ];
    const produced = await post('/api/v1/topics/mixed/records', JSON.stringify({ records }));
    expect(produced).toEqual({
      status: 200,
      body: { topic: 'mixed', records: [0, 1, 2, 3].map(offset => ({ partition: 2, offset })) },
    });
    const { body } = await get('/api/v1/topics/mixed/records?partition=2');
    expect(body).toMatchObject({
      records: [
        { offset: 0, key: 'k', value: 'text', headers: { a: 'b', none: null }, timestamp: 1_700_000_000_000 },
        { offset: 1, key: null, value: '{"nested":[1,true]}' },
        { offset: 2, value: null, value_base64: '/wA=' },
        { offset: 3, key: 'tombstone', value: null },
      ],
      next_offset: 4,
      high_watermark: 4,
    });
  });

  it('reads from an offset, as many as asked for, and says where to go on', async () => {
    await post('/api/v1/topics/paged/records', 'a\nb\nc\nd\n', 'application/x-ndjson');
    const partition = await until(
      async () => {
        for (let p = 0; p < 4; p++) {
          const { body } = await get(`/api/v1/topics/paged/records?partition=${p}`);
          if ((body as { high_watermark: number }).high_watermark > 0) return p;
        }
        return -1;
      },
      found => found >= 0,
    );
    const path = `/api/v1/topics/paged/records?partition=${partition}`;
    expect((await get(`${path}&offset=1&limit=2`)).body).toMatchObject({
      records: [
        { offset: 1, value: 'b' },
        { offset: 2, value: 'c' },
      ],
      next_offset: 3,
    });
    expect((await get(`${path}&offset=latest`)).body).toMatchObject({ records: [], next_offset: 4 });
    expect((await get(`${path}&offset=9`)).status).toBe(400);
  });

  it('keeps keyed records of one key in one partition, as Java does', async () => {
    const records = ['foobar', 'foobar', '21'].map(key => ({ key, value: key }));
    const { body } = await post('/api/v1/topics/keyed/records', JSON.stringify({ records }));
    const partitions = (body as { records: { partition: number }[] }).records.map(record => record.partition);
    expect(partitions).toEqual([-790332482, -790332482, -973932308].map(hash => (hash & 0x7fffffff) % 4));
  });

  it('serves a page that is small and needs nothing from elsewhere', async () => {
    const response = await fetch(project.url);
    const page = await response.text();
    expect(response.headers.get('content-security-policy')).toContain("default-src 'self'");
    expect(page.length).toBeLessThan(15_000);
    expect(page).not.toMatch(/(?:src|href)=["']?(?:https?:)?\/\//);
  });

  it('explains what is wrong as problem+json', async () => {
    expect(await get('/api/v1/topics/nowhere/records')).toMatchObject({
      status: 404,
      type: 'application/problem+json; charset=utf-8',
      body: { code: 'UNKNOWN_TOPIC', detail: 'there is no topic `nowhere`' },
    });
    expect(await get('/api/v1/pipelines/peopel')).toMatchObject({ status: 404, body: { help: 'there are: people' } });
    expect(await get('/nothing')).toMatchObject({ status: 404 });
    expect((await post('/api/v1/topics/t/records', '{"records":[{"valu":1}]}')).body).toMatchObject({
      code: 'INVALID_RECORD',
      detail: 'unknown field `valu` in a record',
    });
    expect((await post('/api/v1/topics/t/records', '{')).status).toBe(400);
    expect((await post('/api/v1/topics/bad%20name/records', 'x', 'text/plain')).status).toBe(400);
    expect(
      (await post('/api/v1/topics/t/records?key=k', new Uint8Array(2 * 1024 * 1024), 'application/octet-stream'))
        .status,
    ).toBe(400);
  });

  it('counts every record of a pipeline once, and the numbers add up', async () => {
    const values = ['{"email":"a@b.c"}', 'oops', '{"email":"d@e.f"}'];
    await post(
      '/api/v1/topics/people/records',
      JSON.stringify({ records: values.map(value => ({ key: 'k', value })) }),
    );
    const done = await until(status, each => each.sinks[0]?.written === 2 && each.deadLetters.drain?.written === 1);
    expect(done).toMatchObject({
      state: 'running',
      records: 3,
      lag: 0,
      steps: [{ step: 'scrub', module: 'pii_scrubber', in: 3, emitted: 2, dropped: 0, passed: 0, dead: 1, out: 2 }],
      outputs: [{ name: 'default', topic: 'people.out', records: 2 }],
      deadLetters: { records: 1, last: { code: 'INVALID_JSON', record: { key: 'k', value: 'oops' } } },
    });
    const lines = readFileSync(join(project.folder, 'out/all.ndjson'), 'utf8').trim().split('\n');
    expect(lines).toEqual(['{"email":"***"}', '{"email":"***"}']);
    const dead = JSON.parse(readFileSync(join(project.folder, 'out/dead.ndjson'), 'utf8')) as Record<string, unknown>;
    expect(dead).toMatchObject({
      step: 'scrub',
      code: 'INVALID_JSON',
      value: 'oops',
      source: { topic: 'people', offset: 1 },
    });
    expect(dead['sha256']).toBe(done.steps[0]?.sha256);
  });

  it('exposes the same counts as metrics', async () => {
    const text = await (await fetch(`${project.url}/metrics`)).text();
    expect(text).toContain('millstream_pipeline_records_total{pipeline="people",step="scrub",outcome="emitted"} 2');
    expect(text).toContain('millstream_dead_letters_total{pipeline="people",step="scrub",code="INVALID_JSON"} 1');
    expect(text).toMatch(/^process_cpu_seconds_total \d/m);
  });

  it('taps records live', async () => {
    const stop = new AbortController();
    const response = await fetch(`${project.url}/api/v1/pipelines/people/tap?step=scrub`, { signal: stop.signal });
    const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
    let seen = '';
    while (!seen.includes('\n\n')) seen += (await reader.read()).value;
    await post('/api/v1/topics/people/records', '{"email":"tap@b.c"}', 'text/plain');
    while (!seen.includes('data: ')) seen += (await reader.read()).value;
    stop.abort();
    const event = JSON.parse(seen.slice(seen.indexOf('data: ') + 6).split('\n')[0] ?? '') as Record<string, unknown>;
    expect(event).toMatchObject({
      pipeline: 'people',
      step: 'scrub',
      before: { value: '{"email":"tap@b.c"}' },
      after: [{ value: '{"email":"***"}', output: 'default' }],
      error: null,
    });
  });

  it('goes on after a restart where it was', async () => {
    await project.restart();
    await post('/api/v1/topics/people/records', '{"email":"later@b.c"}', 'text/plain');
    await until(status, each => each.sinks[0]?.written === 1);
    const lines = readFileSync(join(project.folder, 'out/all.ndjson'), 'utf8').trim().split('\n');
    expect(lines).toHaveLength(4);
  });
});
