import { fileURLToPath } from 'node:url';
import { Metrics } from '../../../core/base/metrics.ts';
import { MillstreamError } from '../../../core/base/errors.ts';
import { type Random, seededRandom } from '../../../core/base/random.ts';
import type { EngineHost } from '../../../core/engine/host.ts';
import type { PipelinePlan } from '../../../etl/definition/plan.ts';
import type { ChainStep, StoredModule } from '../../../etl/sandbox/sandbox.ts';
import { compileModule } from '../../../sdk/assemblyscript/compile.ts';
import { Pipeline } from '../../../server/pipeline.ts';
import { type Fate, FaultDisk } from '../../core/log/fault-disk.ts';
import { moduleOf } from '../../etl/sandbox/guests.ts';
import { Changelog } from '../checker/changelog.ts';
import { checkProducer } from '../checker/expectations.ts';
import { checkTally } from '../checker/tally.ts';
import { JumpingClock } from '../clock.ts';
import { Life } from '../life.ts';
import { IdempotentProducer, type Producer, TransactionalProducer } from '../producers.ts';
import { Histories, positionsOf } from '../reader.ts';
import { inProcessSandbox } from '../sandbox.ts';
import { anyMoment } from '../steering.ts';
import { TurnWheel } from '../turn-wheel.ts';

const LIVES = 4;
const PARTITIONS = 2;
const TOPICS = ['in', 'told', 'ended', 'tally.dead'];
const CHANGELOG = 'tally.state';

/** The module of this folder. */
export async function tallyModule(): Promise<StoredModule> {
  const bytes = await compileModule(fileURLToPath(new URL('.', import.meta.url)));
  return { ...moduleOf(bytes, 'tally'), state: { version: 1, timers: true } };
}

const output = (name: string, topic: string): PipelinePlan['outputs'][number] => ({
  name,
  topic,
  partitions: null,
  partitionBy: 'source',
  codec: 'none',
  retentionMs: null,
  maxBacklogBytes: 1e9,
});

const PLAN: PipelinePlan = {
  name: 'tally',
  file: 'tally.toml',
  source: { topic: 'in', start: 'earliest', connector: null },
  steps: [
    {
      name: 'tally',
      module: { name: 'tally', version: null, sha256: null },
      config: {},
      secrets: [],
      onError: 'dead_letter',
      memoryBytes: 0,
      timeMs: 0,
      maxFailuresInARow: null,
      idleMs: 60,
    },
  ],
  outputs: [output('default', 'told'), output('suspect', 'ended')],
  sinks: [],
  deadLetterTopic: 'tally.dead',
  deadLetter: null,
  tests: [],
};

export const noTallyFigures = () => ({
  inputs: 0,
  entries: 0,
  ended: 0,
  ticked: 0,
  late: 0,
  cuts: 0,
  kills: 0,
  stops: 0,
  /** Commits that were aborted while the process lived. */
  aborted: 0,
  compactions: 0,
  steered: 0,
  checks: 0,
});
export type TallyFigures = ReturnType<typeof noTallyFigures>;

/**
 * A pipeline whose step keeps state, on a disk that forgets: producers, aborted commits, threads that begin anew, compaction of the
 * changelog, in lives that end by a power cut, a kill or a stop. After each, state, outputs and position must agree.
 */
export class TallySimulation {
  readonly figures = noTallyFigures();
  private readonly random: Random;
  private readonly histories = new Histories(TOPICS, PARTITIONS);
  private readonly producers: Producer[];
  private readonly wheel = new TurnWheel();
  private readonly step: ChainStep;
  private readonly sizes;
  private readonly skipsSync: (path: string) => boolean;
  private disk: FaultDisk;
  private clock = new JumpingClock();
  private life!: Life;
  private pipeline: Pipeline | null = null;
  private working: Promise<void>[] = [];
  private stopping = false;
  private failure: unknown = null;

  constructor(seed: number, module: StoredModule, skipsSync: (path: string) => boolean = () => false) {
    this.random = seededRandom(seed);
    this.skipsSync = skipsSync;
    this.disk = new FaultDisk(this.random);
    this.disk.turns = this.wheel.wait;
    const pick = (...values: number[]): number => values[this.below(values.length)] as number;
    this.sizes = {
      segmentBytes: pick(2_500, 6_000, 15_000),
      cacheBytes: pick(0, 1e6),
      recoveryBytes: pick(2_000, 10_000),
      preallocateBytes: pick(0, 0, 8_192),
      journalBytes: pick(2_500, 6_000),
      retentionBytes: -1,
    };
    this.producers = [
      new IdempotentProducer('idem', PARTITIONS, this.random),
      new TransactionalProducer('txone', PARTITIONS, this.random, 1),
    ];
    this.step = {
      ...(PLAN.steps[0] as PipelinePlan['steps'][number]),
      module,
      memoryBytes: 8 * 2 ** 20,
      timeMs: 50,
      initTimeMs: 1000,
    };
  }

  async run(): Promise<TallyFigures> {
    for (let life = 0; life < LIVES; life++) await this.live();
    await this.finish();
    return this.figures;
  }

  private async live(): Promise<void> {
    const started = this.begin();
    const isShort = this.random.float() < 0.15;
    if (!isShort) await this.untilUp();
    for (let left = this.below(isShort ? 150 : 400); left > 0; left--) await this.turn();
    if (this.random.float() < 0.6) await this.untilFilesChangeHands();
    const luck = this.random.float();
    if (luck < 0.15) await this.stop(started);
    this.end(luck < 0.8 ? 'cut' : 'kill');
  }

  private async untilFilesChangeHands(): Promise<void> {
    const isWorth = anyMoment(this.random);
    const met = { seen: false };
    this.disk.onEvent = (event, path) => {
      met.seen ||= isWorth(event, path);
    };
    for (let left = 160; left > 0 && !met.seen; left--) await this.turn();
    if (met.seen) this.figures.steered++;
    for (let left = this.below(8); left > 0; left--) await this.turn();
  }

  private async untilUp(): Promise<void> {
    for (let i = 0; !this.life.isUp; i++) {
      if (i > 50_000) throw new Error('the process does not start');
      await this.turn();
    }
  }

  private async turn(): Promise<void> {
    await this.wheel.turn();
    if (this.failure !== null) throw this.failure;
    this.clock.advance(1 + this.below(3));
    if (this.random.float() < 0.002) this.clock.jump(this.below(2_000) - 500);
  }

  private begin(): Promise<void> {
    const { disk, clock, random } = this;
    this.stopping = false;
    disk.skipsSync = this.skipsSync;
    const rename = disk.rename.bind(disk);
    disk.rename = async (from, to) => {
      await rename(from, to);
      if (from.endsWith('.swap') && from.includes(CHANGELOG)) this.figures.compactions++;
    };
    this.life = new Life({
      disk,
      clock,
      random,
      ...this.sizes,
      retentionFloor: () => 0,
      seams: { wrapHost: host => this.abortSome(host) },
      onError: error => (this.failure ??= error),
    });
    const { life } = this;
    this.working = [];
    return this.guard(life, async () => {
      await life.start();
      await life.broker.topics.ensure({ name: 'in', partitions: PARTITIONS });
      const configs = { 'cleanup.policy': 'compact', 'delete.retention.ms': '0' };
      await life.broker.topics.ensure({ name: CHANGELOG, partitions: PARTITIONS, configs });
      await life.unlessOver();
      await this.check();
      await life.unlessOver();
      life.isUp = true;
      this.pipeline = this.pipelineOf(life);
      await this.pipeline.start();
      // What follows belongs to this life, not to the next one.
      await life.unlessOver();
      for (const producer of this.producers) {
        this.work(
          life,
          () => producer.comeBack(life),
          () => producer.once(life),
        );
      }
    });
  }

  private pipelineOf(life: Life): Pipeline {
    return new Pipeline({
      plan: PLAN,
      steps: [this.step],
      engine: life.engine,
      sandbox: inProcessSandbox(life, this.random),
      sinkTypes: new Map(),
      sourceTypes: new Map(),
      taskRecords: 6,
      baseDirectory: '/data',
      clock: life.clock,
      random: this.random,
      disk: life.disk,
      logger: life.logger,
      metrics: new Metrics(),
      stored: () => 0,
    });
  }

  /** Some transactions are begun and aborted: one of their batches goes where there is no topic. */
  private abortSome(host: EngineHost): EngineHost {
    const abort = (): boolean => this.random.float() < 0.06;
    return new Proxy(host, {
      get: (target, key: keyof EngineHost) => {
        const found: unknown = Reflect.get(target, key);
        if (key !== 'ownTransactions') return typeof found === 'function' ? found.bind(target) : found;
        return async (id: string) => {
          const owner = await target.ownTransactions(id);
          const commit = owner.commit.bind(owner);
          owner.commit = async what => {
            const stray = abort() ? [{ topic: 'nowhere', partition: 0, batch: new Uint8Array() }] : [];
            return commit({ ...what, appends: [...what.appends, ...stray] }).catch(() => {
              this.figures.aborted++;
              throw new MillstreamError('unavailable', 'NO_ROOM', 'there is no room');
            });
          };
          return owner;
        };
      },
    });
  }

  /** Works again and again, with pauses: long ones too, so that partitions are idle. */
  private work(life: Life, begin: () => Promise<void>, once: () => Promise<void>): void {
    const done = this.guard(life, async () => {
      await begin();
      while (!this.stopping) {
        await once();
        await life.turns(this.below(this.random.float() < 0.1 ? 200 : 30));
        await life.unlessOver();
      }
    });
    this.working.push(done);
  }

  private async guard(life: Life, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!life.isOver) this.failure ??= error;
    }
  }

  private async stop(started: Promise<void>): Promise<void> {
    const end = { done: false };
    const { life } = this;
    void this.guard(life, async () => {
      await started;
      await life.unlessOver();
      this.stopping = true;
      await Promise.all(this.working);
      await this.pipeline?.stop();
      await life.close();
      end.done = true;
    });
    for (let i = 0; !end.done; i++) {
      if (i > 20_000) throw new Error('the process does not stop');
      await this.turn();
    }
    this.figures.stops++;
  }

  private end(how: 'cut' | 'kill'): void {
    this.life.isOver = true;
    this.clock = this.clock.next();
    this.figures[how === 'cut' ? 'cuts' : 'kills']++;
    const fate = (): Fate => (['lost', 'some', 'kept'] as const)[this.below(3)] ?? 'some';
    this.disk = how === 'cut' ? this.disk.cut({ names: fate(), data: fate() }) : this.disk.kill();
  }

  private async finish(): Promise<void> {
    const started = this.begin();
    await this.untilUp();
    for (let i = 0; i < 200; i++) await this.turn();
    this.stopping = true;
    const end = { done: false };
    void this.guard(this.life, async () => {
      await started;
      await Promise.all(this.working);
      for (const producer of this.producers) await producer.comeBack(this.life);
      for (let quiet = 0; quiet < 2; quiet = this.pipeline?.status().lag === 0 ? quiet + 1 : 0)
        await this.wheel.wait(25);
      await this.pipeline?.stop();
      // Until the markers of the last commits can be read too: a commit is answered before they are synced.
      await this.wheel.wait(100);
      await this.check(true);
      await this.life.close();
      end.done = true;
    });
    for (let i = 0; !end.done; i++) {
      if (i > 100_000) throw new Error(`the end does not come: ${JSON.stringify(this.pipeline?.status())}`);
      await this.turn();
    }
    this.life.isOver = true;
  }

  /** While nobody but readers moves. */
  private async check(isEnd = false): Promise<void> {
    await this.histories.reread(this.life);
    const group = 'millstream.tally';
    const positions = await positionsOf(this.life, [[group, 'in']], PARTITIONS);
    const inputs = Array.from({ length: PARTITIONS }, (_, partition) => this.histories.of('in', partition));
    for (const producer of this.producers) {
      checkProducer(producer.name, producer.sent, producer instanceof IdempotentProducer, inputs);
    }
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const { offset } = positions.get(`${group} in-${partition}`) ?? { offset: -1 };
      const changelog = await this.changelog(partition);
      const [told, ended, dead] = ['told', 'ended', 'tally.dead'].map(topic => this.histories.of(topic, partition));
      if (!told || !ended || !dead) continue;
      const source = this.histories.of('in', partition);
      const seen = { inputs: source, told, ended, dead, position: offset, changelog, partitions: PARTITIONS };
      const counts = checkTally(seen);
      this.figures.checks++;
      if (!isEnd) continue;
      const last = source.committed().at(-1)?.offset ?? -1;
      if (last >= 0 && offset <= last) throw source.wrong(`ends at ${last}, the pipeline is at ${offset}`);
      for (const key of Object.keys(counts) as (keyof typeof counts)[]) this.figures[key] += counts[key];
    }
  }

  private async changelog(partition: number): Promise<ReadonlyMap<string, string>> {
    const changelog = new Changelog();
    changelog.next = this.life.broker.log(CHANGELOG, partition)?.startOffset ?? 0;
    for (;;) {
      const partitions = [{ partition, fetchOffset: changelog.next, partitionMaxBytes: 1e6 }];
      const topics = [{ topic: CHANGELOG, partitions }];
      const answer = await this.life.ask(1, 11, {
        maxWaitMs: 0,
        minBytes: 0,
        maxBytes: 1e7,
        isolationLevel: 1,
        topics,
      });
      const found = answer.responses[0]?.partitions[0];
      if (!found || found.errorCode !== 0) throw new Error(`Fetch of ${CHANGELOG}-${partition}: ${found?.errorCode}`);
      if (changelog.take(found) === null) return changelog.values;
    }
  }

  private below(limit: number): number {
    return Math.floor(this.random.float() * limit);
  }
}
