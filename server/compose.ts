import { getCompileCacheDir } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { sinkConnectors, sourceConnectors } from '../connectors/index.ts';
import { systemClock } from '../core/base/clock.ts';
import type { Logger } from '../core/base/logger.ts';
import { Metrics } from '../core/base/metrics.ts';
import { nodeDisk } from '../core/base/node-disk.ts';
import { nodeLockHost } from '../core/base/node-lock-host.ts';
import { systemRandom } from '../core/base/random.ts';
import { Broker } from '../core/broker/broker.ts';
import type { OnProduce } from '../core/broker/on-produce.ts';
import { Cluster } from '../core/client/cluster.ts';
import { EmbeddedEngine } from '../core/engine/embedded.ts';
import type { Engine } from '../core/engine/engine.ts';
import { KafkaEngine } from '../core/engine/kafka.ts';
import { DirectoryLock } from '../core/log/directory-lock.ts';
import { openLocalLogStore } from '../core/log/local-log-store.ts';
import { ProducedTopic } from '../etl/runner/on-produce.ts';
import { openSandbox } from '../etl/sandbox/pool.ts';
import type { Sandbox } from '../etl/sandbox/sandbox.ts';
import { type HttpServer, startHttpServer } from './api/http/http-server.ts';
import { type KafkaListener, startKafkaListener } from './api/kafka-listener.ts';
import { brokerConfigOf, declareModules, declareTopics, nodeIdOf } from './broker-config.ts';
import { threadRunner } from './compaction-runner.ts';
import { clusterAccess } from './config/security.ts';
import { formatAddress } from './config/values.ts';
import { DeployedModules, deployedDirectory } from './modules/deployed.ts';
import { LiveModules } from './modules/live-modules.ts';
import { unfitOnProduce } from './on-produce.ts';
import { Pipeline } from './pipeline.ts';
import { placeOf } from './place.ts';
import { chainStep, folderModules, loadProject, type RunnablePipeline } from './project.ts';
import { readTextFile } from './read-text-file.ts';
import { retentionFloor } from './retention-floor.ts';
import type { Settings } from './settings.ts';
import { startInOrder } from './start-order.ts';
import { BacklogWatch } from './backlog.ts';
import { asListenError, asStartError } from './start-error.ts';
import { TopicSizes } from './topic-sizes.ts';

/** A body of 16 MiB takes this long at 2 Mbit/s. */
const HTTP_REQUEST_TIMEOUT_MS = 60_000;

/** A running server. */
export interface Millstream {
  /** The broker in this process; null: topics live in a Kafka cluster. */
  readonly embedded: { readonly broker: Broker; readonly kafka: KafkaListener } | null;
  readonly http: HttpServer;
  readonly pipelines: Pipeline[];
  /** Resolves when every pipeline has been started (or has said why not). */
  readonly pipelinesStarted: Promise<void>;
  /** Drains sources, lanes and sinks, answers what is under way, closes the log cleanly. */
  stop(): Promise<void>;
}

/** What everything below is made of. */
interface Parts {
  settings: Settings;
  projects: readonly RunnablePipeline[];
  onProduce: OnProduce;
  logger: Logger;
  metrics: Metrics;
  /** Called in reverse order. */
  closers: (() => Promise<unknown>)[];
}

/** Where topics live, and what the rest of the process sees of it. */
interface Home extends Pick<Millstream, 'embedded'> {
  engine: Engine;
  /** How many records a topic holds; markers of transactions count. */
  stored: (topic: string) => number;
  /** As ConnectorContext has it. */
  place?: string;
  /** Left out: nobody watches how far sinks are behind. */
  backlog?: BacklogWatch;
  /** As HttpServerOptions have it. */
  unhealthy: () => string | null;
}

const clock = systemClock;
const random = systemRandom;
const disk = nodeDisk;

/**
 * The only wiring: reads top to bottom, from the topics to the listeners to the pipelines. Whatever fails half way closes
 * what was opened before it.
 */
export async function compose(settings: Settings, version: string, logger: Logger): Promise<Millstream> {
  const { config, baseDirectory } = settings;
  const metrics = new Metrics();
  const closers: Parts['closers'] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.splice(0).toReversed()) await close();
  };

  try {
    // Pipeline files are read first: a mistake in one is said before anything is opened.
    const project = loadProject(settings, process.env);
    for (const warning of project.warnings) logger.warn(warning);

    // Set by bin/millstream.js: workers load the same sources, so they start three times as fast from its cache.
    const cache = getCompileCacheDir();
    const compileCache = cache === undefined ? {} : { compileCache: dirname(cache) };
    const workers = { clock, logger, metrics, ...compileCache };
    const sandbox = openSandbox({ ...workers, workers: config.etl.workers });
    closers.push(() => sandbox.close());
    // Before the first record can come: what cannot run must not let any through.
    const produced = project.produced.map(
      each => new ProducedTopic({ ...each, unfit: unfitOnProduce, sandbox, logger, metrics }),
    );
    for (const topic of produced) await topic.tryOut(topic.chain);
    closers.push(() => Promise.all(produced.map(topic => topic.close())));

    const common = {
      settings,
      projects: project.pipelines,
      onProduce: onProduceOf(produced),
      logger,
      metrics,
      closers,
    };
    const home = config.engine.kind === 'kafka' ? await inCluster(common) : await inProcess(common);
    const { embedded, engine, stored, place, backlog, unhealthy } = home;

    // A worker of its own, made with the first shadow.
    let beside: Sandbox | null = null;
    closers.push(async () => beside?.close());
    const directory = deployedDirectory(resolve(baseDirectory, config.broker.data_dir));
    const pipelines: Pipeline[] = [];
    const modules: DeployedModules = new DeployedModules({
      directory,
      disk,
      clock,
      check: async module => {
        await sandbox.check(module);
        await live.tryOut(module);
      },
      activated: name => live.switchOver(name),
    });
    const live = new LiveModules({
      folders: () => folderModules(settings),
      deployed: name => modules.get(name),
      read: (name, of) => modules.read(name, of),
      stepOf: (step, module) => chainStep(step, module, settings),
      pipelines: () => [...pipelines, ...produced],
    });
    let started = false;
    const { http_listen: httpAddress } = config.network;
    const http = await startHttpServer({
      ...httpAddress,
      engineHost: embedded?.broker ?? null,
      clock,
      metrics,
      version,
      maxBatchBytes: config.broker.max_message_bytes,
      autoCreateTopics: config.broker.auto_create_topics,
      requestTimeoutMs: HTTP_REQUEST_TIMEOUT_MS,
      modules,
      pipelines: () => pipelines,
      waitingFor: () => (started ? [] : ['pipelines']),
      unhealthy,
    }).catch((error: unknown) => {
      throw asListenError(error, 'http_listen', formatAddress(httpAddress));
    });
    closers.push(() => http.close());

    const parts = {
      engine,
      sandbox,
      clock,
      random,
      disk,
      logger,
      metrics,
      baseDirectory,
      stored,
      ...(place !== undefined && { place }),
      ...(backlog && { backlog }),
      shadowSandbox: () => (beside ??= openSandbox({ ...workers, workers: 1 })),
    };
    const sinkTypes = sinkConnectors();
    const sourceTypes = sourceConnectors();
    for (const { plan, steps, shadows } of config.etl.enabled ? project.pipelines : []) {
      const taskRecords = config.etl.batch_records;
      pipelines.push(new Pipeline({ ...parts, plan, steps, shadows, sinkTypes, sourceTypes, taskRecords }));
    }
    closers.push(() => Promise.all(pipelines.map(pipeline => pipeline.stop())));
    if (backlog) {
      void backlog.run();
      closers.push(async () => backlog.stop());
    }
    const pipelinesStarted = startInOrder(pipelines).then(() => {
      started = true;
    });
    return { embedded, http, pipelines, pipelinesStarted, stop: closeAll };
  } catch (error) {
    await closeAll().catch(() => {});
    throw asStartError(error);
  }
}

/** Engine `embedded`: from the disk to the broker to its listener. */
async function inProcess({ settings, projects, onProduce, logger, metrics, closers }: Parts): Promise<Home> {
  const { config, baseDirectory } = settings;
  const dataDirectory = resolve(baseDirectory, config.broker.data_dir);
  await disk.makeDirectory(dataDirectory);
  const lock = await DirectoryLock.acquire(nodeLockHost(), dataDirectory);
  closers.push(() => lock.release());

  const store = await openLocalLogStore({
    directory: resolve(baseDirectory, config.wal.path),
    disk,
    clock,
    logger,
    metrics,
    fsync: config.wal.fsync_on_write,
    flushIntervalMs: config.wal.flush_interval_ms,
    cacheBytes: config.cache.write_cache_size_bytes,
    compactionRunner: threadRunner,
  });
  closers.push(() => store.close());

  const { kafka_listen: kafkaAddress } = config.network;
  const advertised = { ...(config.network.advertised ?? kafkaAddress) };
  const plans = projects.map(({ plan }) => plan);
  const durable = (...of: [string, string, number]) => broker.groups.offsets.durable(...of);
  const backlog = new BacklogWatch({
    plans,
    logs: topic => (broker.topics.get(topic)?.partitions ?? []).map(({ log }) => log),
    position: (...of) => durable(...of)?.offset ?? 0,
    clock,
  });
  const floor = retentionFloor(plans, durable, (...sink) => backlog.isDetached(...sink) !== null);
  const broker = await Broker.open({
    nodeId: nodeIdOf(config.broker.id),
    rack: config.broker.rack_id ?? undefined,
    store,
    disk,
    directory: join(dataDirectory, 'meta'),
    clock,
    random,
    logger,
    metrics,
    config: brokerConfigOf(config),
    advertised: () => advertised,
    retentionFloor: floor,
    onProduce,
  });
  closers.push(() => broker.close());
  await declareTopics(broker, config);
  await declareModules(broker, config);

  const kafka = await startKafkaListener({
    broker,
    ...kafkaAddress,
    network: config.network,
    clock,
    logger,
    metrics,
  }).catch((error: unknown) => {
    throw asListenError(error, 'kafka_listen', formatAddress(kafkaAddress));
  });
  closers.push(() => kafka.close());
  if (advertised.port === 0) advertised.port = kafka.port;

  const engine = new EmbeddedEngine(broker, logger);
  closers.push(() => engine.close());
  return {
    embedded: { broker, kafka },
    engine,
    backlog,
    stored: topic => recordsStored(broker, topic),
    unhealthy: () => (store.failed ? `the log is read-only until a restart: ${store.failed.message}` : null),
  };
}

function onProduceOf(produced: readonly ProducedTopic[]): OnProduce {
  const byTopic = new Map(produced.map(topic => [topic.topic, topic]));
  return {
    concerns: topic => byTopic.has(topic),
    screen: ({ name, id }, partition, batch) => (byTopic.get(name) as ProducedTopic).screen(id, partition, batch),
  };
}

/** Engine `kafka`: this process is a client of a cluster, one of as many as there are. */
async function inCluster({ settings, logger, closers }: Parts): Promise<Home> {
  const { config, baseDirectory } = settings;
  const { kafka } = config.engine;
  const access = clusterAccess(kafka, path => readTextFile(resolve(baseDirectory, path)));
  const cluster = new Cluster({ brokers: kafka.brokers, ...access, clock, random, logger, clientId: 'millstream' });
  closers.push(() => cluster.close());
  // Wrong addresses and credentials are said at the start; from then on brokers that are away are waited for.
  await cluster.metadata([]);
  const engine = new KafkaEngine({ cluster, logger, ...groupTiming(kafka.session_timeout_ms) });
  closers.push(() => engine.close());
  await declareTopics(engine, config);
  const sizes = new TopicSizes(cluster);
  const place = await placeOf(disk, random, baseDirectory);
  return { embedded: null, engine, place, stored: topic => sizes.stored(topic), unhealthy: () => null };
}

/** Several heartbeats may be lost before a member is given up. */
function groupTiming(sessionTimeoutMs: number): { sessionTimeoutMs: number; heartbeatMs: number } {
  return { sessionTimeoutMs, heartbeatMs: Math.min(3000, Math.ceil(sessionTimeoutMs / 4)) };
}

/** How many offsets a topic holds: its records, and the markers of transactions once there are any. */
function recordsStored(broker: Broker, topic: string): number {
  const partitions = broker.topics.get(topic)?.partitions ?? [];
  return partitions.reduce((sum, { log }) => sum + log.highWatermark - log.startOffset, 0);
}
