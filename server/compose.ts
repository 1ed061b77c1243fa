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
import { EmbeddedEngine } from '../core/engine/embedded.ts';
import { DirectoryLock } from '../core/log/directory-lock.ts';
import { openLocalLogStore } from '../core/log/local-log-store.ts';
import { openSandbox } from '../etl/sandbox/pool.ts';
import { type HttpServer, startHttpServer } from './api/http/http-server.ts';
import { type KafkaListener, startKafkaListener } from './api/kafka-listener.ts';
import { brokerConfigOf, declareTopics, nodeIdOf } from './broker-config.ts';
import { threadRunner } from './compaction-runner.ts';
import { formatAddress } from './config/values.ts';
import { Pipeline } from './pipeline.ts';
import { loadProject } from './project.ts';
import { retentionFloor } from './retention-floor.ts';
import type { Settings } from './settings.ts';
import { startInOrder } from './start-order.ts';
import { BacklogWatch } from './backlog.ts';
import { asListenError, asStartError } from './start-error.ts';

/** A body of 16 MiB takes this long at 2 Mbit/s. */
const HTTP_REQUEST_TIMEOUT_MS = 60_000;

/** A running server. */
export interface Millstream {
  readonly broker: Broker;
  readonly kafka: KafkaListener;
  readonly http: HttpServer;
  readonly pipelines: Pipeline[];
  /** Resolves when every pipeline has been started (or has said why not). */
  readonly pipelinesStarted: Promise<void>;
  /** Drains sources, lanes and sinks, answers what is under way, closes the log cleanly. */
  stop(): Promise<void>;
}

/**
 * The only wiring: reads top to bottom, from the disk to the listeners to the pipelines. Whatever fails half way closes
 * what was opened before it.
 */
export async function compose(settings: Settings, version: string, logger: Logger): Promise<Millstream> {
  const { config, baseDirectory } = settings;
  const clock = systemClock;
  const random = systemRandom;
  const disk = nodeDisk;
  const metrics = new Metrics();
  const closers: (() => Promise<unknown>)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.splice(0).toReversed()) await close();
  };

  try {
    // Pipeline files are read first: a mistake in one is said before anything is opened.
    const project = loadProject(settings, process.env);
    for (const warning of project.warnings) logger.warn(warning);

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

    const { kafka_listen: kafkaAddress, http_listen: httpAddress } = config.network;
    const advertised = { ...(config.network.advertised ?? kafkaAddress) };
    const plans = project.pipelines.map(({ plan }) => plan);
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
    });
    closers.push(() => broker.close());
    await declareTopics(broker, config);

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

    const pipelines: Pipeline[] = [];
    let started = false;
    const http = await startHttpServer({
      ...httpAddress,
      engineHost: broker,
      clock,
      metrics,
      version,
      maxBatchBytes: config.broker.max_message_bytes,
      autoCreateTopics: config.broker.auto_create_topics,
      requestTimeoutMs: HTTP_REQUEST_TIMEOUT_MS,
      pipelines: () => pipelines,
      waitingFor: () => (started ? [] : ['pipelines']),
      unhealthy: () => (store.failed ? `the log is read-only until a restart: ${store.failed.message}` : null),
    }).catch((error: unknown) => {
      throw asListenError(error, 'http_listen', formatAddress(httpAddress));
    });
    closers.push(() => http.close());

    const engine = new EmbeddedEngine(broker, logger);
    closers.push(() => engine.close());
    // Set by bin/millstream.js: workers load the same sources, so they start three times as fast from its cache.
    const cache = getCompileCacheDir();
    const compileCache = cache === undefined ? {} : { compileCache: dirname(cache) };
    const sandbox = openSandbox({ workers: config.etl.workers, clock, logger, metrics, ...compileCache });
    closers.push(() => sandbox.close());
    const stored = (topic: string): number => recordsStored(broker, topic);
    const parts = { engine, sandbox, clock, random, disk, logger, metrics, baseDirectory, stored, backlog };
    const sinkTypes = sinkConnectors();
    const sourceTypes = sourceConnectors();
    for (const { plan, steps } of config.etl.enabled ? project.pipelines : []) {
      const taskRecords = config.etl.batch_records;
      pipelines.push(new Pipeline({ ...parts, plan, steps, sinkTypes, sourceTypes, taskRecords }));
    }
    closers.push(() => Promise.all(pipelines.map(pipeline => pipeline.stop())));
    void backlog.run();
    closers.push(async () => backlog.stop());
    const pipelinesStarted = startInOrder(pipelines).then(() => {
      started = true;
    });
    return { broker, kafka, http, pipelines, pipelinesStarted, stop: closeAll };
  } catch (error) {
    await closeAll().catch(() => {});
    throw asStartError(error);
  }
}

/** How many offsets a topic holds: its records, and the markers of transactions once there are any. */
function recordsStored(broker: Broker, topic: string): number {
  const partitions = broker.topics.get(topic)?.partitions ?? [];
  return partitions.reduce((sum, { log }) => sum + log.highWatermark - log.startOffset, 0);
}
