import { systemClock } from '../../../core/base/clock.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { systemRandom } from '../../../core/base/random.ts';
import { Cluster } from '../../../core/client/cluster.ts';
import { Producer } from '../../../core/client/producer.ts';
import { KafkaEngine } from '../../../core/engine/kafka.ts';
import { FaultyNetwork } from '../client/faulty-network.ts';
import type { EngineFixture } from './conformance.ts';

/** Brokers that a fixture runs on, and how they end the hard way. */
export interface Brokers {
  bootstrap(): string;
  /** Comes back with the same data. */
  crash(): Promise<void>;
  stop(): Promise<void>;
}

/** A member is given up quickly, so that nobody waits for one that has crashed. */
export const SESSION_TIMEOUT_MS = 1000;

export interface KafkaProcess {
  engine: KafkaEngine;
  cluster: Cluster;
  network: FaultyNetwork;
  close(): Promise<void>;
}

/** An engine with connections of its own, as in a process of its own. */
export function kafkaProcess(bootstrap: string, clientId = 'millstream'): KafkaProcess {
  const network = new FaultyNetwork();
  const cluster = new Cluster({ brokers: [bootstrap], network, clock: systemClock, random: systemRandom, clientId });
  const engine = new KafkaEngine({
    cluster,
    logger: silentLogger,
    sessionTimeoutMs: SESSION_TIMEOUT_MS,
    heartbeatMs: 100,
  });
  return {
    engine,
    cluster,
    network,
    async close() {
      await engine.close();
      await cluster.close();
    },
  };
}

export async function kafkaFixture(brokers: Brokers): Promise<EngineFixture> {
  let process = kafkaProcess(brokers.bootstrap());
  const producing = kafkaProcess(brokers.bootstrap());
  const dead: KafkaProcess[] = [];
  const fixture: EngineFixture = {
    engine: process.engine,
    async produce(topic, partition, records) {
      const producer = new Producer(producing.cluster);
      await producer.send(
        topic,
        records.map(record => ({ ...record, partition })),
      );
      await producer.close();
    },
    async crashAndRestart() {
      // It never says good-bye: the group finds out by itself.
      process.network.unplug();
      dead.push(process);
      await brokers.crash();
      process = kafkaProcess(brokers.bootstrap());
      fixture.engine = process.engine;
    },
    async stop() {
      await Promise.all([process, producing, ...dead].map(each => each.close()));
      await brokers.stop();
    },
  };
  return fixture;
}
