import { bigQuerySink } from '../../../connectors/bigquery/sink.ts';
import type { SinkConnector } from '../../../connectors/runtime/contract.ts';
import { type RunningSink, startSink } from '../../../connectors/runtime/sink-runtime.ts';
import { type Clock, systemClock } from '../../../core/base/clock.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { type Random, seededRandom } from '../../../core/base/random.ts';
import type { NewRecord } from '../../../core/engine/records.ts';
import { MemoryEngine } from '../memory-engine.ts';
import { contextIn, record } from '../support.ts';
import { type FakeTable, fakeTable } from './fake-table.ts';

/*
 * Owners of a sink die at named points while rows flow: rows that a filter and a flat-map made, some of them bad. What is
 * in BigQuery at the end is compared with a list that is computed from the source alone.
 */

export const POINTS = [
  'before send',
  'after apply before ack',
  'between append and commit',
  'during recovery',
] as const;
export type Point = (typeof POINTS)[number];

export interface Counts {
  crashes: Record<Point, number>;
  /** Writes that dead owners began after their successors had written everything; silent ones wait for a commit that
   * will not come, before anything is sent. */
  zombies: { refused: number; hidden: number; silent: number };
  rebalances: number;
  rows: number;
  refused: number;
}

const PARTITIONS = 3;
const TOPIC = 'orders.out';
const DEAD = 'orders.dead';
const GROUP = 'millstream.orders.lake';
/** Waits are 50 times shorter than they would be. */
const HASTE = 50;

const quickClock: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * HASTE,
  setTimer: (delayMs, callback) => systemClock.setTimer(delayMs / HASTE, callback),
};

/** Calls that only a takeover makes. */
const RECOVERY = new Set(['FinalizeWriteStream', 'CreateWriteStream', 'BatchCommitWriteStreams']);

export class CrashRun {
  readonly counts: Counts = {
    crashes: { 'before send': 0, 'after apply before ack': 0, 'between append and commit': 0, 'during recovery': 0 },
    zombies: { refused: 0, hidden: 0, silent: 0 },
    rebalances: 0,
    rows: 0,
    refused: 0,
  };
  private readonly engine = new MemoryEngine();
  private readonly random: Random;
  private readonly table: FakeTable;
  private readonly config: unknown;
  private readonly owners: RunningSink[] = [];
  private readonly leaving: Promise<void>[] = [];
  private readonly expected: string[][] = Array.from({ length: PARTITIONS }, () => []);
  private readonly bad: string[] = [];
  private readonly ends: number[] = Array.from({ length: PARTITIONS }, () => 0);
  private armed: Point | null = null;
  private died: () => void = () => {};
  private isStalling = false;
  private held: (() => Promise<unknown>)[] = [];
  private sources = 0;

  private constructor(table: FakeTable, stream: string, seed: number) {
    this.table = table;
    this.random = seededRandom(seed);
    this.config = table.config({ write_method: { storage_write_api: { stream } } });
  }

  static async open(stream: string, seed: number): Promise<CrashRun> {
    const table = await fakeTable({ idleMs: 3600e3 }, [
      { name: 'id', type: 'STRING', mode: 'REQUIRED' },
      { name: 'n', type: 'INT64' },
      { name: 'place', type: 'GEOGRAPHY' },
    ]);
    const run = new CrashRun(table, stream, seed);
    await run.engine.ensureTopic({ name: TOPIC, partitions: PARTITIONS });
    await run.engine.ensureTopic({ name: DEAD, partitions: 1 });
    run.arrange();
    return run;
  }

  /** One life: rows come in, an owner dies at the point (or everything is written before that), its zombie tries again. */
  async live(point: Point): Promise<void> {
    this.produce();
    const death = new Promise<void>(resolve => (this.died = resolve));
    this.armed = point;
    this.start();
    if (this.random.float() < 0.3) {
      this.start();
      this.counts.rebalances++;
    }
    this.produce();
    await Promise.race([death, this.until(() => this.isDone)]);
    if (this.armed !== null) {
      this.armed = null;
      this.crash();
    }
    for (const owner of this.owners.splice(0)) this.leaving.push(owner.stop());
  }

  /** An owner stalls before a write and loses its partitions; when its successor has written everything, it goes on. */
  async liveAsZombie(): Promise<void> {
    this.produce();
    const death = new Promise<void>(resolve => (this.died = resolve));
    this.isStalling = true;
    this.start();
    await Promise.race([death, this.until(() => this.isDone)]);
    this.isStalling = false;
    this.start();
    this.produce();
    await this.until(() => this.isDone);
    for (const write of this.held.splice(0)) {
      const outcome = await Promise.race([
        write().then(
          () => 'hidden' as const,
          () => 'refused' as const,
        ),
        new Promise<'silent'>(resolve => setTimeout(() => resolve('silent'), 3000)),
      ]);
      this.counts.zombies[outcome]++;
    }
    this.engine.crash();
    for (const owner of this.owners.splice(0)) this.leaving.push(owner.stop());
  }

  /** Lets everything be written; throws an Error that says what is wrong. */
  async check(): Promise<void> {
    this.armed = null;
    this.start();
    await this.until(() => this.isDone);
    await Promise.all([...this.owners.splice(0).map(owner => owner.stop()), ...this.leaving]);
    await this.until(async () => (await this.table.ids()).length >= this.expected.flat().length, 200).catch(() => {});
    const ids = await this.table.ids();
    for (const [partition, expected] of this.expected.entries()) {
      const found = ids.filter(id => id.startsWith(`${partition}-`));
      const missing = expected.filter(id => !found.includes(id));
      if (missing.length > 0) throw new Error(`lost: ${missing.slice(0, 20).join(' ')}`);
      if (found.join() !== expected.join()) {
        const twice = found.filter((id, i) => found.indexOf(id) !== i);
        throw new Error(`not as expected: ${twice.length} twice: ${twice.slice(0, 20).join(' ')}`);
      }
    }
    const dead = this.engine.records(DEAD).map(({ value }) => {
      return (JSON.parse(Buffer.from(value ?? []).toString()) as { id: string }).id;
    });
    if (dead.toSorted().join() !== this.bad.toSorted().join()) {
      throw new Error(
        `${this.bad.length} rows were to be refused, there are ${dead.length} dead letters or other ones`,
      );
    }
    this.counts.rows = ids.length;
    this.counts.refused = dead.length;
  }

  close(): Promise<void> {
    return this.table.close();
  }

  private get isDone(): boolean {
    return this.ends.every((end, i) => (this.engine.position(GROUP, TOPIC, i)?.next ?? 0n) === BigInt(end));
  }

  private start(): void {
    this.owners.push(
      startSink({
        engine: this.engine,
        plan: {
          pipeline: 'orders',
          name: 'lake',
          topic: TOPIC,
          deadLetterTopic: DEAD,
          accepts: ({ headers }) => headers.length === 0,
          batch: { records: 7, bytes: 1024 * 1024, lingerMs: 20 },
          retry: { attempts: 3, fromMs: 20, toMs: 200, onExhausted: 'wait' },
          onGap: 'stop',
        },
        connector: this.connector(),
        config: this.config,
        context: contextIn('/', quickClock),
        metrics: new Metrics(),
        logger: silentLogger,
        clock: quickClock,
        random: this.random,
      }),
    );
  }

  /** A writer may be made to stall: what it is given from then on is held back. */
  private connector(): SinkConnector {
    const inner = bigQuerySink();
    return {
      ...inner,
      open: async (config, context) => {
        const sink = await inner.open(config as never, context);
        return {
          close: () => sink.close(),
          acquire: async partition => {
            const writer = await sink.acquire(partition);
            let isStalled = false;
            return {
              write: (batch, signal) => {
                if (this.isStalling && !isStalled && this.random.float() < 0.3) {
                  isStalled = true;
                  this.isStalling = false;
                  this.engine.crash();
                  this.died();
                }
                if (!isStalled) return writer.write(batch, signal);
                this.held.push(() => writer.write(batch, new AbortController().signal));
                return new Promise(() => {});
              },
              committed: state => writer.committed?.(state),
              close: how => writer.close(how),
            };
          },
        };
      },
    };
  }

  /** Source records, of which a filter drops some and a flat-map makes up to three of others; then the sink's own filter. */
  private produce(): void {
    for (let i = 0; i < 12; i++) {
      const source = this.sources++;
      const partition = source % PARTITIONS;
      if (source % 5 === 0) continue;
      const records: NewRecord[] = [];
      for (let part = 0; part <= source % 3; part++) {
        const id = `${partition}-${source}.${part}`;
        const fate = this.random.float();
        if (fate < 0.1) records.push(record(JSON.stringify({ id }), { headers: [['skip', null]] }));
        else if (fate < 0.14) {
          // Refused by the encoder, or only by BigQuery.
          this.bad.push(id);
          records.push(record(JSON.stringify(fate < 0.12 ? { id, n: 'none' } : { id, place: 'nowhere' })));
        } else {
          this.expected[partition]?.push(id);
          records.push(record(JSON.stringify({ id, n: source, place: 'POINT(1 2)' })));
        }
      }
      this.engine.append(TOPIC, partition, records);
      this.ends[partition] = (this.ends[partition] ?? 0) + records.length;
    }
  }

  private arrange(): void {
    const { faults } = this.table.fake;
    const after = (): boolean => this.random.float() < 0.5;
    const rule = (when: 'before' | 'after', hit: (method: string) => Point | null): void => {
      faults.add({
        times: Number.POSITIVE_INFINITY,
        when: ({ method }) => {
          const point = hit(method);
          return point !== null && point === this.armed && this.die(point);
        },
        action: { kind: 'kill', when },
      });
    };
    rule('before', method => (method === 'AppendRows' && after() ? 'before send' : null));
    rule('after', method => (method === 'AppendRows' && after() ? 'after apply before ack' : null));
    rule('before', method => (RECOVERY.has(method) && after() ? 'during recovery' : null));
    rule('after', method => (RECOVERY.has(method) ? 'during recovery' : null));
    this.engine.beforeCommit = ({ position }, { next, state }) => {
      const isIntent = state !== undefined && next === (position?.next ?? 0n);
      const point = isIntent ? 'during recovery' : 'between append and commit';
      if (this.armed === point && after()) this.die(point);
    };
  }

  private die(point: Point): true {
    this.armed = null;
    this.counts.crashes[point]++;
    this.crash();
    this.died();
    return true;
  }

  private crash(): void {
    this.engine.crash();
  }

  private async until(condition: () => boolean | Promise<boolean>, mostTries = 20_000): Promise<void> {
    for (let i = 0; i < mostTries; i++) {
      if (await condition()) return;
      await new Promise(resolve => setTimeout(resolve, 2));
    }
    const states = this.owners.map(owner => JSON.stringify(owner.status())).join(' ');
    throw new Error(`it never came to an end: ${states}`);
  }
}
