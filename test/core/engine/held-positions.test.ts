import { Kafka, logLevel } from 'kafkajs';
import { expect, test } from 'vitest';
import { nodeNetwork } from '../../../core/base/node-network.ts';
import { systemRandom } from '../../../core/base/random.ts';
import { Cluster } from '../../../core/client/cluster.ts';
import { KafkaEngine } from '../../../core/engine/kafka.ts';
import { createLogger } from '../../../server/text-logger.ts';
import { startBroker } from '../broker/start-broker.ts';
import { until } from '../client/client-suite.ts';
import { LeapingClock } from './leaping-clock.ts';

test('a takeover that waits for a position which a transaction holds says so every thirty seconds', async () => {
  const clock = new LeapingClock();
  const broker = await startBroker();
  const cluster = new Cluster({ brokers: [broker.bootstrap], network: nodeNetwork, clock, random: systemRandom });
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  const engine = new KafkaEngine({ cluster, logger: createLogger({ level: 'warn', json: true, clock, write }) });
  await engine.ensureTopic({ name: 'in', partitions: 1 });
  const kafka = new Kafka({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING });
  const producer = kafka.producer({ transactionalId: 'holder', maxInFlightRequests: 1 });
  await producer.connect();
  const open = await producer.transaction();
  const topics = [{ topic: 'in', partitions: [{ partition: 0, offset: '7' }] }];
  await open.sendOffsets({ consumerGroupId: 'g', topics });

  const joining = engine.join('g', ['in'], { assigned: async () => {}, revoked: async () => {} });
  const told = (): Record<string, unknown>[] =>
    lines.filter(({ reason }) => /UNSTABLE_OFFSET_COMMIT/.test(String(reason)));
  const since = clock.monotonic();
  await until(() => {
    clock.leap(1000);
    return told().length === 3;
  });
  expect(clock.monotonic() - since).toBeGreaterThan(89_000);
  expect(told()[0]).toMatchObject({
    group: 'g',
    reason: expect.stringContaining('in-0 in group g: a transaction that has not ended holds the position') as string,
    help: expect.stringContaining('kafka-transactions.sh') as string,
  });
  await open.commit();
  await until(() => {
    clock.leap(1000);
    return joining.then(() => true);
  });
  await engine.close();
  await producer.disconnect();
  await cluster.close();
  await broker.stop();
});
