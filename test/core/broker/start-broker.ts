import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../core/base/clock.ts';
import { type Logger, silentLogger } from '../../../core/base/logger.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { nodeDisk } from '../../../core/base/node-disk.ts';
import { systemRandom } from '../../../core/base/random.ts';
import { Broker } from '../../../core/broker/broker.ts';
import { type BrokerConfig, DEFAULT_BROKER_CONFIG } from '../../../core/broker/config.ts';
import { openLocalLogStore } from '../../../core/log/local-log-store.ts';
import { type KafkaListener, startKafkaListener } from '../../../server/api/kafka-listener.ts';

export interface StartOptions {
  /** Left out: a fresh folder that `stop` removes. */
  directory?: string;
  port?: number;
  fsync?: boolean;
  config?: Partial<BrokerConfig>;
  network?: Partial<Parameters<typeof startKafkaListener>[0]['network']>;
  logger?: Logger;
  cacheBytes?: number;
}

export interface RunningBroker {
  broker: Broker;
  listener: KafkaListener;
  metrics: Metrics;
  directory: string;
  bootstrap: string;
  stop(): Promise<void>;
}

/** A broker with its Kafka listener, on the real disk and a free port. */
export async function startBroker(options: StartOptions = {}): Promise<RunningBroker> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'millstream-broker-')));
  const logger = options.logger ?? silentLogger;
  const metrics = new Metrics();
  const store = await openLocalLogStore({
    directory: join(directory, 'log'),
    disk: nodeDisk,
    clock: systemClock,
    logger,
    fsync: options.fsync ?? true,
    flushIntervalMs: 1000,
    cacheBytes: options.cacheBytes ?? 64 * 1024 * 1024,
  });
  let port = options.port ?? 0;
  const broker = await Broker.open({
    nodeId: 1,
    store,
    disk: nodeDisk,
    directory: join(directory, 'meta'),
    clock: systemClock,
    random: systemRandom,
    logger,
    metrics,
    config: { ...DEFAULT_BROKER_CONFIG, ...options.config },
    advertised: () => ({ host: '127.0.0.1', port }),
  });
  const network = { max_connections: 1000, connection_timeout_ms: 30_000, max_request_bytes: 104857600 };
  const listener = await startKafkaListener({
    broker,
    host: '127.0.0.1',
    port,
    network: { ...network, ...options.network },
    clock: systemClock,
    logger,
    metrics,
  });
  port = listener.port;
  return {
    broker,
    listener,
    metrics,
    directory,
    bootstrap: `127.0.0.1:${port}`,
    async stop() {
      await listener.close();
      await broker.close();
      await store.close();
      if (options.directory === undefined) await rm(directory, { recursive: true, force: true });
    },
  };
}
