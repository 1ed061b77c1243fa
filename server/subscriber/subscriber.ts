import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { sinkConnectors } from '../../connectors/index.ts';
import { type RunningSink, startSink } from '../../connectors/runtime/sink-runtime.ts';
import type { Clock } from '../../core/base/clock.ts';
import type { Disk } from '../../core/base/disk.ts';
import type { Logger } from '../../core/base/logger.ts';
import { Metrics } from '../../core/base/metrics.ts';
import type { Random } from '../../core/base/random.ts';
import { Cluster } from '../../core/client/cluster.ts';
import { KafkaEngine } from '../../core/engine/kafka.ts';
import type { ClusterAccess } from '../config/security.ts';
import { formatAddress } from '../config/values.ts';
import { asListenError } from '../start-error.ts';
import { dropRefused, type KeepRefused, logRefused, RefusedFile, refusedFileOf } from './dead-letters.ts';
import { metricsReport, SubscriberHealth } from './health.ts';
import { startSubscriberHttp, type SubscriberHttp } from './http.ts';
import type { SubscriberSettings } from './settings.ts';

/** Positions are those of the group `millstream.bigquery-subscriber.<name>`. */
const PIPELINE = 'bigquery-subscriber';
const MOST_NAME = 63;

export interface SubscriberOptions {
  settings: SubscriberSettings;
  /** Relative paths start here. */
  baseDirectory: string;
  clock: Clock;
  random: Random;
  disk: Disk;
  access: ClusterAccess;
  logger: Logger;
}

export interface Subscriber {
  readonly http: SubscriberHttp;
  readonly sink: RunningSink;
  /** The consumer group whose positions these are. */
  readonly group: string;
  /** No new reads; what was read is written and committed, then everything is closed. */
  stop(): Promise<void>;
}

/** The container's process: one topic of any Kafka-protocol brokers into one BigQuery table. */
export async function startSubscriber(options: SubscriberOptions): Promise<Subscriber> {
  const { settings, baseDirectory, clock, random, disk, access, logger } = options;
  const { subscription, batch, retry, dead_letter: deadLetter } = settings;
  const { topic } = subscription;
  const connector = sinkConnectors().get('bigquery');
  if (!connector) throw new TypeError('there is no connector `bigquery`');
  const target = settings.connector as { dataset: string; table: string };
  const name = subscriberName(topic, target.dataset, target.table);
  const metrics = new Metrics();
  const cluster = new Cluster({
    brokers: subscription.broker_endpoints,
    ...access,
    clock,
    random,
    clientId: 'millstream-bigquery-subscriber',
  });
  const engine = new KafkaEngine({ cluster, logger, sessionTimeoutMs: subscription.session_timeout });
  const refused = new RefusedFile(
    deadLetter.file === undefined ? refusedFileOf(baseDirectory, topic) : resolve(baseDirectory, deadLetter.file),
    { pipeline: PIPELINE, name },
    disk,
    clock,
  );
  const keepers: Record<typeof deadLetter.action, KeepRefused | undefined> = {
    log: logRefused(logger),
    drop: dropRefused(),
    file: refused.keep,
    dead_letter_queue: undefined,
  };
  const keepRefused = keepers[deadLetter.action];

  const sink: { current: RunningSink | null } = { current: null };
  const status = (): ReturnType<RunningSink['status']> => (sink.current as RunningSink).status();
  const health = new SubscriberHealth(status, clock);
  const http = await startSubscriberHttp({
    ...settings.network.http_listen,
    metrics,
    health: () => health.report(),
    report: () => metricsReport(status(), metrics),
  }).catch(async (error: unknown) => {
    await cluster.close();
    throw asListenError(error, 'http_listen', formatAddress(settings.network.http_listen));
  });
  const running = startSink({
    engine,
    plan: {
      pipeline: PIPELINE,
      name,
      topic,
      deadLetterTopic: deadLetter.action === 'dead_letter_queue' ? (deadLetter.topic ?? `${topic}.dead`) : null,
      ...(keepRefused && { keepRefused }),
      accepts: () => true,
      batch: { records: batch.records, bytes: batch.bytes, lingerMs: batch.linger },
      maxInFlight: batch.concurrent,
      retry: { attempts: retry.attempts, fromMs: retry.from, toMs: retry.to, onExhausted: retry.on_exhausted },
      onGap: 'stop',
      start: subscription.start,
    },
    connector,
    config: settings.connector,
    context: { pipeline: PIPELINE, name, baseDirectory, clock, random, disk },
    metrics,
    logger,
    clock,
    random,
  });
  sink.current = running;
  return {
    http,
    sink: running,
    group: `millstream.${PIPELINE}.${name}`,
    async stop() {
      await running.stop();
      await engine.close();
      await cluster.close();
      await refused.close();
      await http.close();
    },
  };
}

/** A name of a sink ([a-z0-9_-], at most 63 characters) that tells topics and tables apart. */
export function subscriberName(topic: string, dataset: string, table: string): string {
  const whole = `${topic}-${dataset}-${table}`;
  const plain = whole.toLowerCase().replace(/[^a-z0-9_-]/g, '_');
  if (plain === whole && plain.length <= MOST_NAME) return plain;
  const digest = createHash('sha256').update(`${topic}\0${dataset}\0${table}`).digest('hex').slice(0, 8);
  return `${plain.slice(0, MOST_NAME - 9)}-${digest}`;
}
