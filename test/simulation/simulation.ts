import { type Random, seededRandom } from '../../core/base/random.ts';
import { verifyData } from '../../core/broker/verify-data.ts';
import type { Pipeline } from '../../server/pipeline.ts';
import { retentionFloor } from '../../server/retention-floor.ts';
import { type Fate, FaultDisk } from '../core/log/fault-disk.ts';
import { Administrator } from './administrator.ts';
import { type Figures, noFigures } from './figures.ts';
import { JumpingClock } from './clock.ts';
import { inspect, type Inspected } from './inspection.ts';
import { Life, type Seams } from './life.ts';
import { areDone, haveBegun, pipelinesIn } from './pipelines.ts';
import { PLANS } from './plans.ts';
import { IdempotentProducer, PlainProducer, type Producer, TransactionalProducer } from './producers.ts';
import { Histories } from './reader.ts';
import { anyMoment } from './steering.ts';
import { KEYED, Tables } from './tables.ts';
import { TurnWheel } from './turn-wheel.ts';
import { Warehouse } from './warehouse.ts';

const LIVES = 4;
const PARTITIONS = 2;
const TOPICS = ['in', 'mid', 'odd', 'out', 'rest', 'one.dead', 'two.dead'];

/** Seeds differ in these. */
interface Sizes {
  segmentBytes: number;
  cacheBytes: number;
  recoveryBytes: number;
  preallocateBytes: number;
  journalBytes: number;
  retentionBytes: number;
}

export interface SimulationOptions {
  seams?: Seams;
  /** Asked at every sync: true makes it one that does nothing. */
  skipsSync?: (path: string) => boolean;
}

/**
 * Everything from producers to sinks in one process on a disk that forgets: no threads, no real time; the order of
 * things comes from one seed. Runs several lives, each ended by a power cut, a kill or a clean stop, and looks at what is
 * left after each.
 */
export class Simulation implements Inspected {
  readonly figures: Figures = noFigures();
  private readonly random: Random;
  private readonly options: SimulationOptions;
  readonly histories = new Histories(TOPICS, PARTITIONS);
  readonly warehouse = new Warehouse();
  readonly producers: Producer[];
  readonly administrator: Administrator;
  readonly tables: Tables;
  private readonly sizes: Sizes;
  private readonly wheel = new TurnWheel();
  private disk: FaultDisk;
  private clock = new JumpingClock();
  private life!: Life;
  private pipelines: Pipeline[] = [];
  private working: Promise<void>[] = [];
  private stopping = false;
  /** A compacted segment is about to take its originals' place. */
  private swapping = false;
  private failure: unknown = null;

  constructor(seed: number, options: SimulationOptions = {}) {
    this.random = seededRandom(seed);
    this.options = options;
    this.disk = new FaultDisk(this.random);
    this.disk.turns = this.wheel.wait;
    const pick = (...values: number[]): number => values[this.below(values.length)] as number;
    this.sizes = {
      segmentBytes: pick(2_500, 6_000, 15_000),
      cacheBytes: pick(0, 1e6, 1e6),
      recoveryBytes: pick(2_000, 10_000),
      preallocateBytes: pick(0, 0, 8_192),
      journalBytes: pick(2_500, 6_000),
      retentionBytes: pick(-1, 4_000),
    };
    this.administrator = new Administrator(this.random, this.histories, (topic, partition) =>
      this.floor(topic, partition),
    );
    this.producers = [
      new PlainProducer('plain', PARTITIONS, this.random),
      new IdempotentProducer('idem', PARTITIONS, this.random),
      new TransactionalProducer('txone', PARTITIONS, this.random, 1),
      new TransactionalProducer('txtwo', PARTITIONS, this.random, 2),
      new IdempotentProducer('keyidem', PARTITIONS, this.random, KEYED),
      new TransactionalProducer('keytx', PARTITIONS, this.random, 2, KEYED),
    ];
    this.tables = new Tables(PARTITIONS, pick(1_200, 2_500));
  }

  async run(): Promise<Figures> {
    for (let life = 0; life < LIVES; life++) await this.live();
    await this.finish();
    return this.figures;
  }

  private async live(): Promise<void> {
    const started = this.begin();
    const isShort = this.random.float() < 0.2;
    if (!isShort) await this.untilUp();
    if (!isShort && this.random.float() < 0.55) await this.untilAllWork();
    for (let left = this.below(isShort ? 150 : 120); left > 0; left--) await this.step();
    if (this.random.float() < 0.7) await this.untilFilesChangeHands();
    const luck = this.random.float();
    if (luck < 0.12) await this.stop(started);
    await this.end(luck < 0.8 ? 'cut' : 'kill');
  }

  /** Until a file of some kind changes: what follows then is worth a cut. */
  private async untilFilesChangeHands(): Promise<void> {
    const isWorth = anyMoment(this.random);
    const met = { seen: false };
    this.disk.onEvent = (event, path) => {
      met.seen ||= isWorth(event, path);
    };
    for (let left = 160; left > 0 && !met.seen; left--) await this.step();
    if (met.seen) this.figures.steered++;
    for (let left = this.below(this.swapping ? 3 : 8); left > 0; left--) await this.step();
  }

  private async untilUp(): Promise<void> {
    for (let i = 0; !this.life.isUp; i++) {
      if (i > 50_000) throw new Error('the process does not start');
      await this.step();
    }
  }

  /** Until rows go into every sink: most lives are to be about that, not about starting. */
  private async untilAllWork(): Promise<void> {
    for (let left = 2_000; left > 0; left--) {
      if (left % 8 === 0 && haveBegun(this.pipelines)) break;
      await this.step();
    }
  }

  /** One turn of everything; time passes. */
  private async step(): Promise<void> {
    await this.wheel.turn();
    if (this.failure !== null) throw this.failure;
    this.clock.advance(1 + this.below(3));
    if (this.random.float() < 0.002) this.clock.advance(this.below(90_000));
    if (this.random.float() < 0.002) this.clock.jump(this.below(200_000) - 100_000);
  }

  private begin(): Promise<void> {
    this.stopping = false;
    this.watchRenames(this.disk);
    this.disk.skipsSync = this.options.skipsSync ?? (() => false);
    this.life = new Life({
      disk: this.disk,
      clock: this.clock,
      random: this.random,
      ...this.sizes,
      retentionFloor: (topic, partition) => this.floor(topic, partition),
      seams: this.options.seams ?? {},
      onError: error => (this.failure ??= error),
    });
    const { life } = this;
    this.working = [];
    return this.guard(life, async () => {
      await life.start();
      await life.broker.topics.ensure({ name: 'in', partitions: PARTITIONS });
      await this.tables.make(life);
      // What a dead process goes on with must not become the next one's.
      await life.unlessOver();
      await this.check();
      await life.unlessOver();
      life.isUp = true;
      await this.startPipelines(life);
      await life.unlessOver();
      for (const producer of this.producers) {
        this.work(
          life,
          () => producer.comeBack(life),
          () => producer.once(life),
          40,
        );
      }
      this.work(
        life,
        async () => {},
        () => this.administrator.once(life),
        10,
      );
      this.work(
        life,
        async () => {},
        () => this.read(life),
        20,
      );
    });
  }

  private watchRenames(disk: FaultDisk): void {
    const rename = disk.rename.bind(disk);
    disk.rename = async (from, to) => {
      await rename(from, to);
      if (/\.\d{6}\.ndjson$/.test(to)) this.figures.rotations++;
      if (to.endsWith('.swap')) this.swapping = true;
      if (!from.endsWith('.swap')) return;
      this.swapping = false;
      this.figures.compactions++;
    };
  }

  private async startPipelines(life: Life): Promise<void> {
    const { random, warehouse, figures } = this;
    this.pipelines = pipelinesIn(life, { random, warehouse, figures, failed: error => (this.failure ??= error) });
    for (const pipeline of this.pipelines) await pipeline.start();
  }

  /** Begins, then works again and again with a pause of some turns. */
  private work(life: Life, begin: () => Promise<void>, once: () => Promise<void>, pause: number): void {
    const done = this.guard(life, async () => {
      await begin();
      while (!this.stopping) {
        await once();
        await life.turns(this.below(pause));
        await life.unlessOver();
      }
    });
    this.working.push(done);
  }

  private async read(life: Life): Promise<void> {
    const luck = this.random.float();
    if (luck < 0.2) await this.tables.pass(life, this.below(PARTITIONS), this.below(2_000));
    else await this.histories.look(life, luck < 0.6 ? 'all' : 'committed', this.below(2_000));
  }

  /** An error counts as long as the process lives. */
  private async guard(life: Life, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!life.isOver) this.failure ??= error;
    }
  }

  /** A clean stop; half of them are cut off. */
  private async stop(started: Promise<void>): Promise<void> {
    const end = { done: false };
    const { life } = this;
    void this.guard(life, async () => {
      await started;
      await life.unlessOver();
      this.stopping = true;
      await Promise.all(this.working);
      await Promise.all(this.pipelines.map(pipeline => pipeline.stop()));
      await life.close();
      end.done = true;
    });
    const most = this.random.float() < 0.5 ? Infinity : this.below(200);
    for (let i = 0; i < most && !end.done; i++) {
      if (i > 20_000) throw new Error('the process does not stop');
      await this.step();
    }
    if (end.done) this.figures.stops++;
  }

  private async end(how: 'cut' | 'kill'): Promise<void> {
    const { life } = this;
    life.isOver = true;
    this.clock = this.clock.next();
    if (!life.isUp) this.figures.inRecovery++;
    const unsynced = this.disk.unsynced().filter(path => path.endsWith('.log'));
    if (unsynced.some(path => !path.includes('/__'))) this.figures.inAppend++;
    if (unsynced.some(path => path.includes('/__'))) this.figures.inCommit++;
    this.figures[how === 'cut' ? 'cuts' : 'kills']++;
    const fate = (): Fate => (['lost', 'some', 'kept'] as const)[this.below(3)] ?? 'some';
    if (this.swapping) this.figures.compactionsCut++;
    this.swapping = false;
    this.disk = how === 'cut' ? this.disk.cut({ names: fate(), data: fate() }) : this.disk.kill();
  }

  private async finish(): Promise<void> {
    const started = this.begin();
    await this.untilUp();
    for (let i = 0; i < 100; i++) await this.step();
    this.stopping = true;
    const end = { done: false };
    void this.guard(this.life, async () => {
      await started;
      await Promise.all(this.working);
      for (const producer of this.producers) await producer.comeBack(this.life);
      await this.untilDone();
      await this.check(true);
      await Promise.all(this.pipelines.map(pipeline => pipeline.stop()));
      await this.life.close();
      end.done = true;
    });
    for (let i = 0; !end.done; i++) {
      if (i > 100_000) throw new Error('the end does not come');
      await this.step();
    }
    this.life.isOver = true;
    const { findings } = await this.whole(
      verifyData({ disk: this.disk, logDirectory: '/data/log', metaDirectory: '/data/meta' }),
    );
    const problem = findings.find(finding => finding.severity === 'problem');
    if (problem) throw new Error(`verify: ${JSON.stringify(problem)}`);
    this.count();
  }

  /** Lets the world turn until it is done. */
  private async whole<T>(work: Promise<T>): Promise<T> {
    const end = { done: false };
    const noted = work.finally(() => (end.done = true));
    noted.catch(() => {});
    while (!end.done) await this.wheel.turn();
    return noted;
  }

  /** Nobody lags, for some time; whether that is the end is for the checker to say. */
  private async untilDone(): Promise<void> {
    for (let quiet = 0; quiet < 2; quiet = areDone(this.pipelines) ? quiet + 1 : 0) await this.wheel.wait(25);
  }

  private async check(isEnd = false): Promise<void> {
    const files = await inspect(this, this.life, this.disk.contents('/data/files'), isEnd);
    if (files.left > 0) this.figures.filesCut++;
    if (isEnd) this.figures.fileLines += files.lines;
  }

  private floor(topic: string, partition: number): number {
    const { groups } = this.life.broker;
    const durable = (group: string): { offset: number } | null => groups.offsets.durable(group, topic, partition);
    const sinks = retentionFloor(
      PLANS.map(({ plan }) => plan),
      group => durable(group),
    )(topic, partition);
    const pipelines = PLANS.filter(({ plan }) => plan.source.topic === topic).map(
      ({ plan }) => durable(`millstream.${plan.name}`)?.offset ?? 0,
    );
    const known = TOPICS.includes(topic) ? this.histories.of(topic, partition).servedEnd : Infinity;
    return Math.min(sinks, known, ...pipelines);
  }

  /** Every record that was served, in short. */
  trace(): string {
    return this.histories
      .all()
      .map(
        history =>
          `${history.name}: ${history
            .all()
            .map(({ offset, value }) => `${offset} ${value}`)
            .join()}`,
      )
      .join('\n');
  }

  private count(): void {
    const { figures } = this;
    figures.topics = this.administrator.made;
    figures.superseded = this.tables.goneCount;
    for (const { topic, partition } of this.histories.names()) {
      if ((this.life.broker.log(topic, partition)?.startOffset ?? 0) > 0) figures.trimmed++;
    }
    for (let partition = 0; partition < PARTITIONS; partition++) {
      figures.records += this.histories.of('in', partition).all().length;
      for (const topic of ['one.dead', 'two.dead'])
        figures.deadLetters += this.histories.of(topic, partition).all().length;
    }
    for (const producer of this.producers) {
      if (producer instanceof TransactionalProducer) figures.transactions += producer.transactions.length;
    }
  }

  private below(limit: number): number {
    return Math.floor(this.random.float() * limit);
  }
}
