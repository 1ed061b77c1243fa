import type { Clock } from '../../core/base/clock.ts';
import { silentLogger } from '../../core/base/logger.ts';
import { Metrics } from '../../core/base/metrics.ts';
import type { Random } from '../../core/base/random.ts';
import type { Engine } from '../../core/engine/engine.ts';
import type { NewRecord } from '../../core/engine/records.ts';
import { TroubledConnector } from './conformance-proxy.ts';
import type { ConnectorContext, SinkConnector } from './contract.ts';
import { SinkError } from './sink-error.ts';
import { type RunningSink, startSink } from './sink-runtime.ts';

/*
 * The conformance kit for sinks: scenarios that any connector must live through with the guarantee that it declares.
 * A test runs each of `sinkScenarios` with a fixture (the connector and its system) and a world (engine and clock).
 */

/** A connector with the system that it writes to, fresh for each scenario. */
export interface SinkFixture {
  connector: SinkConnector;
  /** Output of the connector's schema. */
  config: unknown;
  context: ConnectorContext;
  /** A record that the system takes, recognised again by `id`. */
  row(id: string): NewRecord;
  /** A record that the connector or its system must refuse; null when there is none such. */
  badRow(id: string): NewRecord | null;
  /** The ids in the system, in the order in which they came. */
  contents(): Promise<string[]>;
}

/** Where the sink runs; time passes only by `advance`. */
export interface ConformanceWorld {
  engine: Engine;
  clock: Clock;
  random: Random;
  produce: (topic: string, partition: number, records: NewRecord[]) => void;
  /** The process dies, or the power goes. */
  crash(): void;
  /** Does what was running go on after `crash`, as far as it can? Else nothing of it ever settles. */
  outlivesCrash: boolean;
  /** All leases are lost at once; the process goes on. */
  loseLeases(): void;
  /** Moves the clock; whatever is ready then happens, real input and output included. */
  advance(milliseconds: number): Promise<void>;
  committed(group: string, topic: string, partition: number): bigint | null;
  /** Values of a topic's records. */
  values(topic: string): Uint8Array[];
}

export interface SinkScenario {
  name: string;
  /** Throws an Error that says what the connector broke. */
  run: (fixture: SinkFixture, world: ConformanceWorld) => Promise<void>;
}

const TOPIC = 'kit.out';
const DEAD = 'kit.dead';
const PARTITIONS = 3;
const BATCH_ROWS = 4;

/** One scenario at work: rows that went in, and what must come out. */
class Kit {
  readonly connector: TroubledConnector;
  readonly fixture: SinkFixture;
  readonly world: ConformanceWorld;
  private readonly good: string[][] = Array.from({ length: PARTITIONS }, () => []);
  private readonly ends: number[] = Array.from({ length: PARTITIONS }, () => 0);
  private readonly bad: string[] = [];
  private readonly runs: RunningSink[] = [];

  constructor(fixture: SinkFixture, world: ConformanceWorld) {
    this.fixture = fixture;
    this.world = world;
    this.connector = new TroubledConnector(fixture.connector);
  }

  get isExactlyOnce(): boolean {
    return this.connector.caps(this.fixture.config).guarantee === 'exactly-once';
  }

  start(): RunningSink {
    const { engine, clock, random } = this.world;
    const run = startSink({
      engine,
      plan: {
        pipeline: 'kit',
        name: 'sink',
        topic: TOPIC,
        deadLetterTopic: DEAD,
        accepts: () => true,
        batch: { records: BATCH_ROWS, bytes: 1024 * 1024, lingerMs: 10 },
        retry: { attempts: 3, fromMs: 100, toMs: 30_000, onExhausted: 'wait' },
        onGap: 'stop',
      },
      connector: this.connector,
      config: this.fixture.config,
      context: this.fixture.context,
      metrics: new Metrics(),
      logger: silentLogger,
      clock,
      random,
    });
    this.runs.push(run);
    return run;
  }

  /** Puts `count` rows into each partition; those at `badAt` are refused ones. */
  produce(count: number, badAt: readonly number[] = []): void {
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const records: NewRecord[] = [];
      for (let i = 0; i < count; i++) {
        const id = `${partition}-${(this.ends[partition] ?? 0) + i}`;
        const isBad = badAt.includes(i);
        const record = isBad ? this.fixture.badRow(id) : this.fixture.row(id);
        if (!record) throw new Error('the fixture has no bad rows');
        (isBad ? this.bad : (this.good[partition] as string[])).push(id);
        records.push(record);
      }
      this.world.produce(TOPIC, partition, records);
      this.ends[partition] = (this.ends[partition] ?? 0) + count;
    }
  }

  crash(): void {
    this.world.crash();
    if (!this.world.outlivesCrash) this.runs.length = 0;
  }

  get isDone(): boolean {
    return this.ends.every((end, partition) => {
      const next = this.world.committed('millstream.kit.sink', TOPIC, partition) ?? 0n;
      return next === BigInt(end);
    });
  }

  /** Lets time pass until the condition holds. */
  async until(what: string, condition: () => boolean, stepMs = 50): Promise<void> {
    for (let i = 0; i < 4000; i++) {
      if (condition()) return;
      await this.world.advance(stepMs);
    }
    const states = this.runs.map(run => JSON.stringify(run.status())).join(' ');
    throw new Error(`it never came to this: ${what}; ${states}`);
  }

  async end(): Promise<void> {
    const stopped = Promise.all(this.runs.map(run => run.stop()));
    let isStopped = false;
    void stopped.then(() => (isStopped = true));
    await this.until('every run has stopped', () => isStopped, 1000);
  }

  /** Everything that went in came out, as often and in the order that the guarantee promises. */
  async check({ repeats }: { repeats: boolean }): Promise<void> {
    await this.until('every position is at the end', () => this.isDone, 500);
    await this.end();
    const found = await this.fixture.contents();
    for (const [partition, expected] of this.good.entries()) {
      const mine = found.filter(id => id.startsWith(`${partition}-`));
      const once = [...new Set(mine)];
      const missing = expected.filter(id => !once.includes(id));
      if (missing.length > 0) throw new Error(`lost: ${missing.join(' ')}`);
      if (once.length > expected.length)
        throw new Error(`nobody sent: ${once.filter(id => !expected.includes(id)).join(' ')}`);
      const isOrdered = !this.connector.caps(this.fixture.config).unordered;
      if (isOrdered && once.some((id, i) => id !== expected[i])) throw new Error(`out of order: ${mine.join(' ')}`);
      if (mine.length > once.length && (this.isExactlyOnce || !repeats)) {
        throw new Error(`more than once: ${mine.filter((id, i) => mine.indexOf(id) !== i).join(' ')}`);
      }
    }
    const dead = this.world.values(DEAD).map(value => Buffer.from(value).toString('base64'));
    const buried = this.bad.map(id => Buffer.from(this.fixture.badRow(id)?.value ?? []).toString('base64'));
    if (dead.toSorted().join() !== buried.toSorted().join()) {
      throw new Error(`${buried.length} rows were to be refused, there are ${dead.length} dead letters or other ones`);
    }
  }
}

async function begin(fixture: SinkFixture, world: ConformanceWorld): Promise<Kit> {
  await world.engine.ensureTopic({ name: TOPIC, partitions: PARTITIONS });
  await world.engine.ensureTopic({ name: DEAD, partitions: 1 });
  return new Kit(fixture, world);
}

/** Never settles: what a process that has died does. */
const gone = <T>(): Promise<T> => new Promise(() => {});

/** So many turns of the event loop. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(resolve => setImmediate(resolve));
}

/** A crash at the `at`-th write, before or after the system has taken it. */
function crashAt(when: 'before' | 'after', at: number): SinkScenario {
  return {
    name: `a crash ${when} write ${at} is sent`,
    async run(fixture, world) {
      const kit = await begin(fixture, world);
      kit.produce(10);
      let isDying = false;
      let isDead = false;
      kit.connector.trouble = async send => {
        if (isDying) return gone();
        if (kit.connector.writes < at) return send();
        isDying = true;
        if (when === 'after') await send();
        kit.crash();
        isDead = true;
        return gone();
      };
      kit.start();
      await kit.until('the crash', () => isDead);
      kit.connector.trouble = send => send();
      kit.start();
      kit.produce(3);
      await kit.check({ repeats: true });
    },
  };
}

function refused(where: string, badAt: readonly number[]): SinkScenario {
  return {
    name: `refused rows: ${where}`,
    async run(fixture, world) {
      if (!fixture.badRow('0-0')) return;
      const kit = await begin(fixture, world);
      kit.start();
      kit.produce(BATCH_ROWS, badAt);
      kit.produce(BATCH_ROWS);
      await kit.check({ repeats: false });
    },
  };
}

export const sinkScenarios: readonly SinkScenario[] = [
  {
    name: 'nothing goes wrong',
    async run(fixture, world) {
      const kit = await begin(fixture, world);
      kit.start();
      for (let i = 1; i <= 7; i++) kit.produce(i);
      await kit.check({ repeats: false });
    },
  },
  {
    name: 'clean stops repeat nothing',
    async run(fixture, world) {
      const kit = await begin(fixture, world);
      for (let i = 0; i < 5; i++) {
        const run = kit.start();
        kit.produce(9);
        const before = kit.connector.writes;
        await kit.until('a write', () => kit.connector.writes > before, 1);
        let isStopped = false;
        void run.stop().then(() => (isStopped = true));
        await kit.until('the stop', () => isStopped);
      }
      kit.start();
      await kit.check({ repeats: false });
    },
  },
  ...[1, 2, 5].flatMap(at => [crashAt('before', at), crashAt('after', at)]),
  {
    name: 'crashes at random',
    async run(fixture, world) {
      const kit = await begin(fixture, world);
      const life = { count: 0 };
      kit.connector.trouble = async send => {
        const mine = life.count;
        const fate = world.random.float();
        if (fate >= 0.2) return send();
        if (fate < 0.1) await send();
        if (mine !== life.count) return gone();
        kit.crash();
        life.count++;
        return gone();
      };
      while (life.count < 20) {
        const before = life.count;
        kit.start();
        kit.produce(5);
        await kit.until('a crash or the end', () => life.count > before || kit.isDone);
        if (life.count === before) kit.crash();
      }
      kit.connector.trouble = send => send();
      kit.start();
      await kit.check({ repeats: true });
    },
  },
  {
    name: 'crashes at any moment',
    async run(fixture, world) {
      const kit = await begin(fixture, world);
      for (let life = 0; life < 20; life++) {
        kit.start();
        kit.produce(5);
        let isDead = false;
        void turns(Math.floor(world.random.float() * 150)).then(() => {
          kit.crash();
          isDead = true;
        });
        await kit.until('the crash', () => isDead);
      }
      kit.start();
      await kit.check({ repeats: true });
    },
  },
  {
    name: 'acknowledgements get lost',
    async run(fixture, world) {
      const kit = await begin(fixture, world);
      kit.connector.trouble = async send => {
        const mine = kit.connector.writes;
        const result = await send();
        if (mine % 3 === 1) throw new SinkError('transient', 'RESET', 'the connection was reset');
        return result;
      };
      kit.start();
      kit.produce(20);
      await kit.check({ repeats: true });
    },
  },
  {
    name: 'an owner that lost its lease goes on writing',
    async run(fixture, world) {
      const kit = await begin(fixture, world);
      kit.produce(6);
      const held: (() => Promise<unknown>)[] = [];
      const writing = new Set<number | undefined>();
      kit.connector.trouble = (send, { rows }) => {
        held.push(send);
        writing.add(rows[0]?.partition);
        return gone();
      };
      kit.start();
      await kit.until('a write of each partition', () => writing.size === PARTITIONS);
      world.loseLeases();
      kit.connector.trouble = send => send();
      kit.start();
      await kit.until('the new owner has written all', () => kit.isDone);
      // What the old one sends now may be refused.
      await Promise.allSettled(held.map(send => send()));
      kit.produce(2);
      await kit.check({ repeats: true });
    },
  },
  refused('the first', [0]),
  refused('one in the middle', [2]),
  refused('the last', [BATCH_ROWS - 1]),
  refused('two neighbours', [1, 2]),
  refused('a whole batch', [0, 1, 2, 3]),
  {
    name: 'the system throttles',
    async run(fixture, world) {
      const kit = await begin(fixture, world);
      kit.connector.trouble = send => {
        if (world.random.float() >= 0.7) return send();
        throw new SinkError('throttled', 'SLOW_DOWN', 'too many requests', { retryAfterMs: 200 });
      };
      kit.start();
      kit.produce(20);
      await kit.check({ repeats: false });
    },
  },
  {
    name: 'the system is away for an hour',
    async run(fixture, world) {
      const kit = await begin(fixture, world);
      const until = world.clock.now() + 3600e3;
      kit.connector.trouble = send => {
        if (world.clock.now() >= until) return send();
        throw new SinkError('transient', 'DOWN', 'the system is down');
      };
      const run = kit.start();
      kit.produce(10);
      await kit.until('it says so', () => {
        const { state, reason } = run.status();
        return state === 'degraded' && reason?.includes('the system is down') === true;
      });
      await kit.until('an hour', () => world.clock.now() >= until, 60_000);
      if (world.values(DEAD).length > 0) throw new Error('an outage has made dead letters');
      await kit.check({ repeats: false });
    },
  },
];
