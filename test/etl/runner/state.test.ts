import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../../core/base/clock.ts';
import { MillstreamError } from '../../../core/base/errors.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { nodeDisk } from '../../../core/base/node-disk.ts';
import { seededRandom, systemRandom } from '../../../core/base/random.ts';
import { Broker } from '../../../core/broker/broker.ts';
import { DEFAULT_BROKER_CONFIG } from '../../../core/broker/config.ts';
import { EmbeddedEngine } from '../../../core/engine/embedded.ts';
import { encodeBatch, readRecords } from '../../../core/engine/records.ts';
import { committedBatches } from '../../../core/log/committed-batches.ts';
import { openLocalLogStore } from '../../../core/log/local-log-store.ts';
import type { PipelinePlan } from '../../../etl/definition/plan.ts';
import { PipelineRunner } from '../../../etl/runner/pipeline-runner.ts';
import type { ChainStep, Sandbox } from '../../../etl/sandbox/sandbox.ts';
import { TIME, testSandbox } from '../sandbox/harness.ts';
import { keeperChain } from '../sandbox/state/fixture.ts';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const PLAN: PipelinePlan = {
  name: 'p',
  file: 'p.toml',
  source: { topic: 'in', start: 'earliest', connector: null },
  steps: [],
  outputs: [
    {
      name: 'default',
      topic: 'out',
      partitions: null,
      partitionBy: 'source',
      codec: 'none',
      retentionMs: null,
      maxBacklogBytes: 1e9,
    },
  ],
  sinks: [],
  deadLetterTopic: 'p.dead',
  deadLetter: null,
  tests: [],
};

async function openBroker(): Promise<Broker> {
  const directory = await mkdtemp(join(tmpdir(), 'millstream-state-'));
  const common = { disk: nodeDisk, clock: systemClock, random: systemRandom, logger: silentLogger };
  const metrics = new Metrics();
  const store = await openLocalLogStore({
    ...common,
    directory: join(directory, 'log'),
    fsync: true,
    flushIntervalMs: 1000,
    cacheBytes: 1e6,
  });
  const broker = await Broker.open({
    ...common,
    metrics,
    nodeId: 1,
    store,
    directory: join(directory, 'meta'),
    config: DEFAULT_BROKER_CONFIG,
    advertised: () => ({ host: '127.0.0.1', port: 9092 }),
  });
  closers.push(async () => {
    await broker.close();
    await rm(directory, { recursive: true, force: true });
  });
  return broker;
}

const full = (): Error => new MillstreamError('unavailable', 'NO_ROOM', 'the disk is full');

/** An engine whose transactions are aborted now and then. */
function faulty(broker: Broker, mayFail: () => boolean): EmbeddedEngine {
  const own = broker.ownTransactions.bind(broker);
  broker.ownTransactions = async id => {
    const owner = await own(id);
    const commit = owner.commit.bind(owner);
    owner.commit = async what => {
      // Begun and aborted, with all commits that share the transaction.
      const stray = mayFail() ? [{ topic: 'nowhere', partition: 0, batch: new Uint8Array() }] : [];
      return commit({ ...what, appends: [...what.appends, ...stray] }).catch(() => {
        throw full();
      });
    };
    return owner;
  };
  return new EmbeddedEngine(broker, silentLogger);
}

function runnerOn(engine: EmbeddedEngine, sandbox: Sandbox, steps: ChainStep[]): PipelineRunner {
  const logger = silentLogger;
  return new PipelineRunner({
    plan: PLAN,
    steps,
    engine,
    sandbox,
    clock: systemClock,
    logger,
    metrics: new Metrics(),
    taskRecords: 5,
    random: systemRandom,
  });
}

async function produce(broker: Broker, partition: number, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) {
    const record = { timestamp: TIME + i, key: null, value: Buffer.from(i % 10 === 7 ? '+n !' : '+n') };
    await broker.produce('in', partition, encodeBatch([record])).durable;
  }
}

/** Committed values of an output's partition. */
async function outputs(broker: Broker, partition: number): Promise<string[]> {
  const log = broker.partitionLog('out', partition);
  if (!log || log.lastStableOffset === 0) return [];
  const { batches, nextOffset } = await log.read(0, 1e8, log.lastStableOffset);
  return committedBatches(batches, log.abortedWithin(0, nextOffset))
    .flatMap(batch => readRecords(batch))
    .map(({ value }) => Buffer.from(value ?? []).toString());
}

const counted = (count: number): string[] => Array.from({ length: count - count / 10 }, (_, i) => `n=${i + 1}`);
const until = async (isSo: () => Promise<boolean> | boolean): Promise<void> => {
  while (!(await isSo())) await new Promise(resolve => setTimeout(resolve, 20));
};

it('nothing of a commit that failed is seen by what comes after it', async () => {
  const broker = await openBroker();
  await broker.ensureTopic({ name: 'in', partitions: 1 });
  const random = seededRandom(3);
  let failures = 0;
  const engine = faulty(broker, () => {
    const fails = random.float() < 0.15;
    if (fails) failures++;
    return fails;
  });
  const sandbox = testSandbox();
  closers.push(
    () => sandbox.close(),
    () => engine.close(),
  );
  const runner = runnerOn(engine, sandbox, (await keeperChain()).steps);
  await runner.start();
  await produce(broker, 0, 0, 150);
  await until(() => runner.status().lag === 0);
  await runner.stop();
  expect(await outputs(broker, 0)).toEqual(counted(150));
  expect(failures).toBeGreaterThan(2);
});

it('moves with its partition to whoever takes it over, and back', async () => {
  const broker = await openBroker();
  await broker.ensureTopic({ name: 'in', partitions: 2 });
  const engine = new EmbeddedEngine(broker, silentLogger);
  const sandboxes = [testSandbox(), testSandbox()];
  closers.push(...sandboxes.map(sandbox => () => sandbox.close()), () => engine.close());
  const { steps } = await keeperChain();
  const [first, second] = sandboxes.map(sandbox => runnerOn(engine, sandbox, steps)) as [
    PipelineRunner,
    PipelineRunner,
  ];
  const both = (from: number, to: number) => Promise.all([0, 1].map(partition => produce(broker, partition, from, to)));
  await first.start();
  await both(0, 40);
  const flow = both(40, 100);
  await second.start();
  await flow;
  await both(100, 120);
  await until(() => first.status().lag + second.status().lag === 0);
  // Each has had one of them.
  expect([first.counts.in > 0, second.counts.in > 0]).toEqual([true, true]);
  await first.stop();
  await both(120, 140);
  await until(() => second.status().lag === 0);
  await second.stop();
  for (const partition of [0, 1]) expect(await outputs(broker, partition)).toEqual(counted(140));
});
