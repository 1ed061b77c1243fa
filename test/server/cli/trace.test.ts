import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { crc32c } from '../../../core/base/crc32c.ts';
import { encodeBatch } from '../../../core/engine/records.ts';
import type { Audit } from '../../../server/lineage/audit-types.ts';
import type { Trace } from '../../../server/lineage/trace-types.ts';
import { assemble, guestText } from '../../etl/sandbox/guests.ts';
import { type Project, type Ran, startProject, until } from '../support.ts';

/* Two pipelines in a row with a module that drops (D…), doubles (2…), routes (R…) and refuses (F…); then the books of both. */

const ORDERS = `
name = "orders"
[source]
topic = "orders"
[[step]]
name = "sort"
module = "sorter"
[outputs]
default = "orders.out"
suspect = "orders.suspect"
[sinks.plain]
batch = { linger = "10ms" }
[sinks.plain.file]
path = "out/plain.ndjson"
`;
const SECOND = `
name = "second"
[source]
topic = "orders.out"
[[step]]
name = "again"
module = "sorter"
[outputs]
default = "second.out"
suspect = "second.suspect"
[sinks.end.file]
path = "out/end.ndjson"
`;

let project: Project;
const run = (...args: string[]): Promise<Ran> => project.run([...args, '--server', project.url]);
const traced = async (place: string): Promise<Trace> => JSON.parse((await run('trace', place, '--json')).out) as Trace;
const audited = async (pipeline: string): Promise<Audit> =>
  JSON.parse((await run('audit', pipeline, '--json')).out) as Audit;
const differing = async (pipeline: string): Promise<string[]> =>
  (await audited(pipeline)).lines
    .filter(({ result }) => result === 'differs')
    .map(({ check, of }) => `${check}: ${of}`);

async function produce(topic: string, ...values: string[]): Promise<void> {
  const { broker } = project.server;
  const records = values.map(value => ({ timestamp: 1_700_000_000_000, key: null, value: Buffer.from(value) }));
  await broker.appendBatch(topic, 0, encodeBatch(records)).durable;
}

/** Waits until a pipeline's sink has committed this far. */
async function committed(pipeline: string, topic: string, offset: number): Promise<void> {
  const at = () => project.server.broker.committedOffset(`millstream.${pipeline}`, topic, 0)?.offset ?? -1;
  await until(at, position => position >= offset);
}

beforeAll(async () => {
  project = await startProject();
  mkdirSync(join(project.folder, 'modules/sorter'), { recursive: true });
  project.write(
    'modules/sorter/module.toml',
    'name = "sorter"\nversion = "1.0.0"\ndescription = "d"\nfile = "sorter.wasm"\nredacts = false\n',
  );
  writeFileSync(join(project.folder, 'modules/sorter/sorter.wasm'), assemble(guestText()));
  project.write('pipelines/orders.toml', ORDERS);
  project.write('pipelines/second.toml', SECOND);
  await project.restart();
  // Offsets in orders: 0 a, 1 D, 2 2b, 3 Rc, 4 Fd, 5 De, 6 Df, 7 g
  await produce('orders', 'a', 'D', '2b', 'Rc', 'Fd');
  await committed('orders', 'orders', 5);
  await produce('orders', 'De');
  await committed('orders', 'orders', 6);
  await produce('orders', 'Df');
  await committed('orders', 'orders', 7);
  await produce('orders', 'g');
  await committed('orders', 'orders', 8);
  // Behind the first commit's three records and marker: 4 g, and its marker.
  await committed('second', 'orders.out', 5);
  await committed('orders.plain', 'orders.out', 5);
});
afterAll(() => project.close());

describe('millstream trace', () => {
  it('follows a record through both pipelines to the sinks', async () => {
    const { forward, backward, timestamp } = await traced('orders/0@2');
    expect(timestamp).toBe(1_700_000_000_000);
    expect(backward).toMatchObject([{ by: 'producer', record: null }]);
    expect(forward.pipelines).toMatchObject([{ pipeline: 'orders', state: 'emitted', position: 8 }]);
    const [orders] = forward.pipelines;
    expect(orders?.steps).toEqual([{ name: 'sort', sha256: expect.stringMatching(/^[0-9a-f]{12}$/) as string }]);
    expect(orders?.outputs.map(({ topic, offset }) => `${topic}@${offset}`)).toEqual(['orders.out@1', 'orders.out@2']);
    const [first] = orders?.outputs ?? [];
    expect(first?.next.sinks).toMatchObject([{ pipeline: 'orders', sink: 'plain', state: 'passed' }]);
    expect(first?.next.pipelines).toMatchObject([{ pipeline: 'second', state: 'emitted' }]);
    expect(first?.next.pipelines[0]?.outputs.map(({ topic, offset }) => `${topic}@${offset}`)).toEqual([
      'second.out@1',
      'second.out@2',
    ]);
  });

  it('says which output a route took, which step dropped a record, and which refused one', async () => {
    expect((await traced('orders/0@3')).forward.pipelines[0]?.outputs).toMatchObject([
      { topic: 'orders.suspect', offset: 0 },
    ]);
    expect((await traced('orders/0@1')).forward.pipelines).toMatchObject([{ state: 'dropped', droppedBy: ['sort'] }]);
    // In commits that appended nothing: the next one that did accounts for them.
    expect((await traced('orders/0@6')).forward.pipelines).toMatchObject([{ state: 'dropped', droppedBy: ['sort'] }]);
    expect((await traced('orders/0@4')).forward.pipelines).toMatchObject([
      { state: 'dead', deadLetters: [{ topic: 'orders.dead', refusedBy: 'sort', code: 'REFUSED' }] },
    ]);
  });

  it('goes back from the last output and from a dead letter to what a producer wrote', async () => {
    const back = async (place: string): Promise<string[]> =>
      (await traced(place)).backward.map(({ by, name, record }) => `${by} ${name} ${record?.topic}@${record?.offset}`);
    expect(await back('second.out/0@2')).toEqual([
      'pipeline second orders.out@1',
      'pipeline orders orders@2',
      'producer null undefined@undefined',
    ]);
    expect(await back('orders.out/0@4')).toEqual(['pipeline orders orders@7', 'producer null undefined@undefined']);
    expect(await back('orders.dead/0@0')).toEqual(['pipeline orders orders@4', 'producer null undefined@undefined']);
  });

  it('is readable, and exits as it should', async () => {
    const { code, out } = await run('trace', 'orders/0@2');
    expect(code).toBe(0);
    expect(out).toMatch(/pipeline orders: 2 output records \[sort [0-9a-f]{12}\], committed 20/);
    expect(out).toContain('sink orders.plain: has passed it');
    expect((await run('trace', 'orders/0@4')).out).toMatch(
      /orders\.dead\/0@0, dead letter orders\/sort\/.*REFUSED in sort/,
    );
    expect((await run('trace', 'second.out/0@2')).out).toMatch(
      / {2}orders\.out\/0@1, by pipeline second .*\n {4}orders\/0@2/,
    );
    expect((await run('trace', 'orders')).code).toBe(2);
    expect((await run('trace', 'orders/0@99')).code).toBe(4);
    expect((await run('trace', 'nowhere/0@1')).code).toBe(4);
  });
});

describe('millstream audit', () => {
  it('finds that everything adds up, also after a restart', async () => {
    expect(await differing('orders')).toEqual([]);
    const { ok, counts, lines } = await audited('orders');
    expect(ok).toBe(true);
    expect(counts).toMatchObject([
      { of: 'orders/0', in: 8, emitted: 4, dropped: 3, passed: 0, dead: 1, unsorted: 0, outputs: 5, letters: 1 },
    ]);
    expect(lines.filter(({ result }) => result === 'unknown')).toEqual([]);
    await project.restart();
    await until(
      () => audited('second').catch(() => null),
      answer => answer !== null,
    );
    expect(await differing('orders')).toEqual([]);
    expect(await differing('second')).toEqual([]);
    const { code, out } = await run('audit', 'orders');
    expect(out).toContain('orders: everything adds up\n');
    expect(code).toBe(0);
    expect((await run('audit', 'nothing')).code).toBe(4);
  });

  it('counts replays apart', async () => {
    const brokers = `127.0.0.1:${project.server.kafka.port}`;
    expect((await project.run(['dead-letter', 'replay', 'orders', '--brokers', brokers])).code).toBeLessThan(2);
    const { counts } = await until(
      () => audited('orders'),
      answer => answer.counts.length === 2,
    );
    expect(counts).toMatchObject([
      { of: 'orders/0', in: 8, letters: 1 },
      { of: 'replays (orders.replay)', in: 1, emitted: 0, dead: 1, letters: 1 },
    ]);
    expect(await differing('orders')).toEqual([]);
    const { forward } = await traced('orders.replay/0@0');
    expect(forward.pipelines).toMatchObject([
      { state: 'dead', deadLetters: [{ topic: 'orders.dead', refusedBy: 'sort' }] },
    ]);
  });

  it('counts a batch that cannot be read as the one record that it was taken for', async () => {
    const values = ['i', 'j'].map(value => ({ timestamp: 1_700_000_000_000, key: null, value: Buffer.from(value) }));
    const batch = Buffer.from(encodeBatch(values));
    // The codec is zstd by the header, and the contents are not.
    batch.writeInt16BE(4, 21);
    batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
    await project.server.broker.appendBatch('orders', 0, batch).durable;
    await produce('orders', 'k');
    const { counts } = await until(
      () => audited('orders'),
      answer => (answer.counts[0]?.in ?? 0) >= 10,
    );
    expect(counts[0]).toMatchObject({ of: 'orders/0', in: 10, emitted: 5, dead: 2, letters: 2 });
    expect(await differing('orders')).toEqual([]);
  });

  it('finds a record that a foreign producer wrote into an output', async () => {
    await produce('second.suspect', 'not from here');
    const { code, out } = await run('audit', 'second');
    expect(code).toBe(1);
    expect(out).toMatch(/differs +every record has its commit +second\.suspect\/0/);
    expect(out).toContain('second: 1 check differs\n');
    expect(await differing('orders')).toEqual([]);
  });

  it('finds a gap in the lineage, and totals that are not those of the outputs', async () => {
    const { broker } = project.server;
    // Somebody moves the position over records that were never processed, and leaves the state as it is.
    await produce('orders', 'h');
    const end = broker.log('orders', 0)?.endOffset ?? 0;
    await committed('orders', 'orders', end);
    const before = broker.committedOffset('millstream.orders', 'orders', 0);
    await project.server.pipelines[0]?.stop();
    await produce('orders', 'lost');
    await broker.commitOffset('millstream.orders', 'orders', 0, { offset: end + 1, metadata: before?.metadata ?? '' });
    expect(await differing('orders')).toEqual(['source records taken: orders/0']);
    await broker.commitOffset('millstream.orders', 'orders', 0, { offset: end - 1, metadata: before?.metadata ?? '' });
    expect(await differing('orders')).toEqual([
      'source records taken: orders/0',
      'commits follow each other: orders/0',
    ]);
  });
});
