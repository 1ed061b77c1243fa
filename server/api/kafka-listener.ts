import { createServer, type Server, type Socket } from 'node:net';
import type { Clock, Timer } from '../../core/base/clock.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import type { Logger } from '../../core/base/logger.ts';
import type { Metrics } from '../../core/base/metrics.ts';
import type { Broker } from '../../core/broker/broker.ts';
import { KafkaConnection } from './kafka-connection.ts';

export interface KafkaListenerOptions {
  broker: Broker;
  host: string;
  /** 0: any free port. */
  port: number;
  /** `[network]` of millstream.toml. */
  network: { max_connections: number; connection_timeout_ms: number; max_request_bytes: number };
  clock: Clock;
  logger: Logger;
  metrics: Metrics;
  /** How long `close` waits for answers that are under way. */
  drainMs?: number;
}

export interface KafkaListener {
  readonly host: string;
  readonly port: number;
  /** Takes no more connections, answers what is under way, closes the rest. */
  close(): Promise<void>;
}

/** Listens for Kafka clients. Kind `unavailable`, PORT_IN_USE or LISTEN_FAILED when the address cannot be had. */
export async function startKafkaListener(options: KafkaListenerOptions): Promise<KafkaListener> {
  const { broker, network, clock, logger, metrics } = options;
  const connections = new Set<KafkaConnection>();
  const open = metrics.gauge('millstream_kafka_connections', 'Open connections of Kafka clients.');

  const accept = (accepted: Socket): void => {
    if (connections.size >= network.max_connections) {
      logger.warn('a connection is refused: there are as many as are allowed', { max: network.max_connections });
      accepted.destroy();
      return;
    }
    const connection = new KafkaConnection({
      broker,
      accepted,
      maxRequestBytes: network.max_request_bytes,
      clock,
      logger,
      onClosed: () => {
        connections.delete(connection);
        open.set(connections.size);
      },
    });
    connections.add(connection);
    open.set(connections.size);
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, accept);
  const { host, port } = await listen(server, options);
  server.on('error', error => logger.error('the Kafka listener failed', { error }));

  // Clients that stop in the middle of a request or do not take their answers are closed; silent ones are not.
  let sweep: Timer;
  const scheduleSweep = (): void => {
    sweep = clock.setTimer(network.connection_timeout_ms / 2, () => {
      const before = clock.monotonic() - network.connection_timeout_ms;
      for (const connection of connections) {
        if (connection.stalledSince !== null && connection.stalledSince < before) connection.destroy('it stalls');
      }
      scheduleSweep();
    });
  };
  scheduleSweep();

  return {
    host,
    port,
    async close() {
      sweep.cancel();
      const stopped = new Promise<void>(resolve => server.close(() => resolve()));
      const timer = clock.setTimer(options.drainMs ?? 5000, () => {
        for (const connection of connections) connection.destroy('the server stops');
      });
      await Promise.all([...connections].map(connection => connection.drain()));
      timer.cancel();
      await stopped;
    },
  };
}

function listen(server: Server, { host, port }: KafkaListenerOptions): Promise<{ host: string; port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const inUse = error.code === 'EADDRINUSE';
      const where = `${host}:${port}`;
      reject(
        new MillstreamError(
          'unavailable',
          inUse ? 'PORT_IN_USE' : 'LISTEN_FAILED',
          inUse
            ? `Another process listens on ${where} already.`
            : `The Kafka listener cannot listen on ${where}: ${error.message}.`,
          { cause: error, help: 'Stop that process, or set kafka_listen in [network] to another address.' },
        ),
      );
    });
    server.listen({ host, port, backlog: 511 }, () => {
      server.removeAllListeners('error');
      const address = server.address();
      const bound = address !== null && typeof address === 'object' ? address : { address: host, port };
      resolve({ host: bound.address, port: bound.port });
    });
  });
}
