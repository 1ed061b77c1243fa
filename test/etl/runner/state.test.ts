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
  const { steps } = await keeperChain();
  const metrics = new Metrics();
  const runner = new PipelineRunner({
    plan: PLAN,
    steps,
    engine,
    sandbox,
    clock: systemClock,
    logger: silentLogger,
    metrics,
    taskRecords: 5,
  });
  await runner.start();
  const COUNT = 150;
  for (let i = 0; i < COUNT; i++) {
    const record = { timestamp: TIME + i, key: null, value: Buffer.from(i % 10 === 7 ? '+n !' : '+n') };
    await broker.produce('in', 0, encodeBatch([record])).durable;
  }
  while (runner.status().lag > 0) await new Promise(resolve => setTimeout(resolve, 20));
  await runner.stop();
  const log = broker.partitionLog('out', 0);
  const { batches, nextOffset } = (await log?.read(0, 1e8, log.lastStableOffset)) ?? { batches: [], nextOffset: 0 };
  const values = committedBatches(batches, log?.abortedWithin(0, nextOffset) ?? [])
    .flatMap(batch => readRecords(batch))
    .map(({ value }) => Buffer.from(value ?? []).toString());
  const alive = COUNT - COUNT / 10;
  expect(values).toEqual(Array.from({ length: alive }, (_, i) => `n=${i + 1}`));
  expect(failures).toBeGreaterThan(2);
});
