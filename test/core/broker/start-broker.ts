import { systemClock } from '../../../core/base/clock.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { type KafkaListener, startKafkaListener } from '../../../server/api/kafka-listener.ts';
import { type OpenOptions, TestBroker } from './harness.ts';

export interface StartOptions extends OpenOptions {
  port?: number;
  network?: Partial<Parameters<typeof startKafkaListener>[0]['network']>;
}

export interface RunningBroker {
  test: TestBroker;
  listener: KafkaListener;
  bootstrap: string;
  stop(): Promise<void>;
}

/** A broker with its Kafka listener, on the real disk and a free port. */
export async function startBroker(options: StartOptions = {}): Promise<RunningBroker> {
  let port = options.port ?? 0;
  const test = await TestBroker.open({ ...options, advertised: () => ({ host: '127.0.0.1', port }) });
  const network = { max_connections: 1000, connection_timeout_ms: 30_000, max_request_bytes: 104857600 };
  const listener = await startKafkaListener({
    broker: test.broker,
    host: '127.0.0.1',
    port,
    network: { ...network, ...options.network },
    clock: systemClock,
    logger: options.logger ?? silentLogger,
    metrics: test.metrics,
  });
  port = listener.port;
  return {
    test,
    listener,
    bootstrap: `127.0.0.1:${port}`,
    async stop() {
      await listener.close();
      await test.close();
    },
  };
}
