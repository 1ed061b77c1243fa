import { afterEach, describe, expect, it } from 'vitest';
import { bigQuerySink } from '../../../connectors/bigquery/sink.ts';
import type { RunningSink } from '../../../connectors/runtime/sink-runtime.ts';
import type { SinkRunPlan } from '../../../connectors/runtime/sink-runtime.ts';
import type { NewRecord } from '../../../core/engine/records.ts';
import { ManualClock } from '../manual-clock.ts';
import { MemoryEngine } from '../memory-engine.ts';
import { record, runSink } from '../support.ts';
import { type FakeOptions, type FakeTable, fakeTable } from './fake-table.ts';

const storage = (stream: string, more: object = {}): object => ({
  write_method: { storage_write_api: { stream } },
  ...more,
});
const METHODS: [name: string, config: object][] = [
  ['streaming inserts', { write_method: 'streaming_inserts' }],
  ['the default stream', storage('default')],
  ['a committed stream', storage('committed')],
  ['a buffered stream', storage('buffered')],
  ['pending streams', storage('pending')],
];

class World {
  readonly engine = new MemoryEngine();
  readonly clock: ManualClock;
  readonly table: FakeTable;
  private readonly runs: RunningSink[] = [];
  private end = 0;

  constructor(table: FakeTable, clock: ManualClock) {
    this.table = table;
    this.clock = clock;
  }

  start(config: object, plan: Partial<SinkRunPlan> = {}): RunningSink {
    const run = runSink({
      engine: this.engine,
      connector: bigQuerySink(),
      config: this.table.config(config),
      clock: this.clock,
      plan: { retry: { attempts: 3, fromMs: 100, toMs: 30_000, onExhausted: 'wait' }, ...plan },
    });
    this.runs.push(run);
    return run;
  }

  produce(...records: (object | NewRecord)[]): void {
    for (let at = 0; at < records.length; at += 500) {
      const some = records.slice(at, at + 500).map(each => ('timestamp' in each ? each : record(JSON.stringify(each))));
      this.engine.append('orders.out', 0, some);
    }
    this.end += records.length;
  }

  get isDone(): boolean {
    return (this.engine.position('millstream.orders.lake', 'orders.out', 0)?.next ?? 0n) === BigInt(this.end);
  }

  dead(): { code: string; reason: string }[] {
    return this.engine.records('orders.dead').map(({ headers }) => {
      const header = (name: string): string => Buffer.from(headers.find(([key]) => key === name)?.[1] ?? []).toString();
      return { code: header('millstream.dl.code'), reason: header('millstream.dl.reason') };
    });
  }

  async until(condition: () => boolean | Promise<boolean>, stepMs = 50): Promise<void> {
    for (let i = 0; i < 20_000; i++) {
      if (await condition()) return;
      await this.clock.advance(stepMs);
      await new Promise(resolve => setTimeout(resolve, 2));
    }
    throw new Error(`it never came to this: ${this.runs.map(run => JSON.stringify(run.status())).join(' ')}`);
  }

  async close(): Promise<void> {
    let open = true;
    void Promise.all(this.runs.map(run => run.stop())).then(() => (open = false));
    await this.until(() => !open, 1000);
    await this.table.close();
  }
}

describe('a BigQuery sink', () => {
  let world: World;
  afterEach(() => world.close());

  async function open(options: FakeOptions = {}, fields?: Parameters<typeof fakeTable>[1]): Promise<World> {
    const clock = new ManualClock();
    world = new World(await fakeTable({ clock, ...options }, fields), clock);
    await world.engine.ensureTopic({ name: 'orders.out', partitions: 1 });
    return world;
  }

  const PLACES = [
    { name: 'id', type: 'STRING', mode: 'REQUIRED' },
    { name: 'place', type: 'GEOGRAPHY' },
  ];

  it.each(METHODS)(
    '%s: one bad row among 10,000 costs one dead letter, with its reason',
    { timeout: 60_000 },
    async (_, method) => {
      const { table } = await open({}, PLACES);
      const rows = Array.from({ length: 10_000 }, (_unused, i) => ({ id: `r${i}`, place: 'POINT(1 2)' }));
      rows[6543] = { id: 'bad', place: 'nowhere' };
      world.produce(...rows);
      world.start(method, { batch: { records: 1000, bytes: 2 ** 20, lingerMs: 5 } });
      await world.until(() => world.isDone);
      await world.until(async () => (await table.ids()).length >= 9999);
      expect(new Set(await table.ids()).size).toBe(9999);
      expect(await table.ids()).toHaveLength(9999);
      const dead = world.dead();
      expect(dead).toHaveLength(1);
      expect(dead[0]?.code).toBe('INVALID');
      expect(dead[0]?.reason).toMatch(/place/i);
    },
  );

  it.each(METHODS)(
    '%s: a quota that is used up for an hour costs no row and is not asked for all the time',
    { timeout: 60_000 },
    async (_, method) => {
      const { table, clock } = await open();
      const message = 'Quota exceeded: Your project exceeded quota for appended bytes per day';
      const [call, action] =
        method === METHODS[0]?.[1]
          ? ['insertAll', { kind: 'rest-error', reason: 'quotaExceeded', message } as const]
          : ['AppendRows', { kind: 'grpc-error', code: 8, message } as const];
      table.fake.faults.add({ method: call, forMs: 3600e3, action });
      world.produce(...Array.from({ length: 50 }, (_unused, i) => ({ id: `r${i}`, n: i })));
      const run = world.start(method, { batch: { records: 50, bytes: 2 ** 20, lingerMs: 5 } });
      await world.until(() => run.status().state === 'degraded', 100);
      expect(run.status().reason).toContain('Quota exceeded');
      const from = clock.now();
      await world.until(() => world.isDone, 10_000);
      expect(clock.now() - from).toBeGreaterThan(3000e3);
      await world.until(async () => (await table.ids()).length >= 50);
      expect(await table.ids()).toHaveLength(50);
      expect(world.dead()).toEqual([]);
      expect(table.fake.faults.list()[0]?.hits).toBeLessThan(10);
      expect(run.status().state).not.toBe('degraded');
    },
  );

  it.each(METHODS.slice(1))(
    '%s: an answer that never comes is not waited for without end, and costs no row',
    { timeout: 60_000 },
    async (name, method) => {
      const { table, clock } = await open();
      table.fake.faults.add({ method: 'AppendRows', from: 2, action: { kind: 'drop-ack' } });
      const run = world.start(method, { batch: { records: 10, bytes: 2 ** 20, lingerMs: 5 } });
      world.produce(...Array.from({ length: 50 }, (_unused, i) => ({ id: `r${i}`, n: i })));
      const from = clock.now();
      await world.until(() => run.status().state === 'degraded', 1000);
      expect(run.status().reason).toContain('did not answer within 120 seconds');
      expect(clock.now() - from).toBeGreaterThan(100e3);
      await world.until(() => world.isDone);
      await world.until(async () => new Set(await table.ids()).size === 50);
      // The default stream promises at least once: what was applied without an answer is there twice.
      const ids = await table.ids();
      if (name === METHODS[1]?.[0]) expect(ids.length).toBeGreaterThanOrEqual(50);
      else expect(ids).toHaveLength(50);
      expect(world.dead()).toEqual([]);
    },
  );

  it('speaks TLS to a Storage API that is given as https://', { timeout: 60_000 }, async () => {
    const { table } = await open();
    const run = world.start(storage('committed', { storage_endpoint: `https://${table.fake.grpcAddress}` }));
    world.produce({ id: 'r', n: 1 });
    // The fake has no certificate.
    await world.until(() => run.status().state === 'degraded', 100);
    expect(run.status().reason).toMatch(/SSL|TLS/);
    expect(await table.ids()).toEqual([]);
  });

  it.each(METHODS)(
    '%s: a column that is added while rows come in loses nothing',
    { timeout: 60_000 },
    async (_, method) => {
      const { table } = await open({ schemaDelayMs: 20_000 });
      world.start(method, { batch: { records: 10, bytes: 2 ** 20, lingerMs: 5 } });
      world.produce(...Array.from({ length: 55 }, (_unused, i) => ({ id: `a${i}`, n: i })));
      await world.until(() => world.isDone);
      await table.request('PATCH', 'datasets/d/tables/t', {
        schema: {
          fields: [
            { name: 'id', type: 'STRING', mode: 'REQUIRED' },
            { name: 'n', type: 'INT64' },
            { name: 'colour', type: 'STRING' },
          ],
        },
      });
      world.produce(...Array.from({ length: 30 }, (_unused, i) => ({ id: `b${i}`, n: i })));
      world.produce(...Array.from({ length: 30 }, (_unused, i) => ({ id: `c${i}`, n: i, colour: 'red' })));
      await world.until(() => world.isDone, 100);
      await world.until(async () => (await table.ids()).length >= 115);
      expect(await table.ids()).toHaveLength(115);
      const reds = await table.rows("SELECT id FROM d.t WHERE colour = 'red'");
      expect(reds).toHaveLength(30);
      expect(world.dead()).toEqual([]);
    },
  );

  it.each(METHODS)(
    '%s: a column that is added in the middle of a load loses nothing',
    {
      timeout: 60_000,
    },
    async (_, method) => {
      const { table } = await open({ schemaDelayMs: 20_000 });
      // Behind the sink's back, at its fifth write; BigQuery's own writers learn of it later still.
      table.fake.faults.add({
        method: method === METHODS[0]?.[1] ? 'insertAll' : 'AppendRows',
        from: 5,
        action: { kind: 'add-column', field: { name: 'colour', type: 'STRING' } },
      });
      world.start(method, { batch: { records: 10, bytes: 2 ** 20, lingerMs: 5 } });
      let [rows, reds] = [0, 0];
      const load = (colour?: string): void => {
        const more = Array.from({ length: 7 }, () => ({ id: `r${rows++}`, n: 1, ...(colour && { colour }) }));
        world.produce(...more);
        if (colour) reds += more.length;
      };
      const hasColumn = async (): Promise<boolean> =>
        JSON.stringify(await table.request('GET', 'datasets/d/tables/t')).includes('colour');
      await world.until(async () => {
        load();
        return hasColumn();
      });
      // Records with and without the new field go on for longer than BigQuery needs.
      for (let step = 0; step < 60; step++) {
        load(step % 2 === 0 ? 'red' : undefined);
        await world.clock.advance(1000);
        await new Promise(resolve => setTimeout(resolve, 2));
      }
      await world.until(() => world.isDone, 500);
      await world.until(async () => (await table.ids()).length >= rows, 500);
      expect((await table.ids()).toSorted()).toEqual(Array.from({ length: rows }, (_unused, i) => `r${i}`).toSorted());
      expect(await table.rows("SELECT id FROM d.t WHERE colour = 'red'")).toHaveLength(reds);
      expect(world.dead()).toEqual([]);
    },
  );

  it.each(METHODS)(
    '%s: a table that is dropped shows, burns no quota, and is written to when it is there again',
    { timeout: 60_000 },
    async (_, method) => {
      const { table, clock } = await open();
      const run = world.start(method, { batch: { records: 10, bytes: 2 ** 20, lingerMs: 5 } });
      world.produce(...Array.from({ length: 20 }, (_unused, i) => ({ id: `a${i}`, n: i })));
      await world.until(() => world.isDone);
      await table.request('DELETE', 'datasets/d/tables/t');
      world.produce(...Array.from({ length: 20 }, (_unused, i) => ({ id: `b${i}`, n: i })));
      await world.until(() => run.status().state === 'degraded');
      expect(run.status().reason).toMatch(/not found|not there|is deleted/i);
      const calls = table.fake.journal.list().length;
      const from = clock.now();
      await world.until(() => clock.now() - from > 600e3, 1000);
      expect(run.status().state).toBe('degraded');
      expect(table.fake.journal.list().length - calls).toBeLessThan(100);
      await table.make();
      await world.until(() => world.isDone, 1000);
      await world.until(async () => (await table.ids()).length >= 20, 1000);
      expect((await table.ids()).toSorted()).toEqual(Array.from({ length: 20 }, (_unused, i) => `b${i}`).toSorted());
      expect(world.dead()).toEqual([]);
    },
  );

  it('makes the table and its dataset, with partitions and clusters, and adds columns as fields come', {
    timeout: 60_000,
  }, async () => {
    const { table } = await open({ datasets: [] }, null);
    const create = {
      partition_by: 'at',
      cluster_by: ['id'],
      columns: [
        { name: 'id', type: 'STRING', mode: 'REQUIRED' },
        { name: 'at', type: 'TIMESTAMP' },
      ],
    };
    world.produce(
      { id: 'a', at: '2026-01-01T00:00:00Z' },
      { id: 'b', more: { deep: [1, 2] }, nothing: null },
      { id: 'c', more: { deep: [3], text: 'x' } },
    );
    world.start(storage('committed', { auto_create_table: true, create, schema: { evolve: true } }));
    await world.until(() => world.isDone, 500);
    const made = (await table.request('GET', 'datasets/d/tables/t')) as Record<string, unknown>;
    expect(made).toMatchObject({
      timePartitioning: { type: 'DAY', field: 'at' },
      clustering: { fields: ['id'] },
      schema: {
        fields: [{ name: 'id' }, { name: 'at' }, { name: 'more', fields: [{ name: 'deep' }, { name: 'text' }] }],
      },
    });
    expect((await table.ids()).toSorted()).toEqual(['a', 'b', 'c']);
    expect(world.dead()).toEqual([]);
  });

  it('upserts and deletes by primary key, whatever comes twice', { timeout: 60_000 }, async () => {
    const { table } = await open({}, null);
    await table.make(undefined, { tableConstraints: { primaryKey: { columns: ['id'] } } });
    world.produce(
      { id: 'a', n: 1, op: 'c' },
      { id: 'b', n: 1, op: 'c' },
      { id: 'a', n: 2, op: 'u' },
      { id: 'c', n: 1, op: 'c' },
      { id: 'b', op: 'd' },
      record(null, { key: Buffer.from('c') }),
      { id: 'd', n: 1, op: 'perhaps' },
    );
    world.start(storage('default', { cdc: { change_type: 'op' } }), {
      batch: { records: 2, bytes: 2 ** 20, lingerMs: 5 },
    });
    await world.until(() => world.isDone, 200);
    expect(await table.rows('SELECT id, CAST(n AS STRING) AS n FROM d.t')).toEqual([
      expect.objectContaining({ id: 'a', n: '2' }),
    ]);
    expect(world.dead()).toHaveLength(1);
  });

  it('splits what is too large for a request', { timeout: 60_000 }, async () => {
    const { table } = await open({ insertAllLimitBytes: 5000 });
    const rows = Array.from({ length: 100 }, (_unused, i) => ({ id: `${i}-${'x'.repeat(200)}` }));
    rows[50] = { id: 'y'.repeat(6000) };
    world.produce(...rows);
    world.start({ write_method: 'streaming_inserts' });
    await world.until(() => world.isDone);
    expect(await table.ids()).toHaveLength(99);
    expect(world.dead().map(({ code }) => code)).toEqual(['ROW_TOO_LARGE']);
  });
});
