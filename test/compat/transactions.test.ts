/** Transactions of every client that has them: what is committed is read once, what is aborted only by those who ask. */
import { expect, inject, test } from 'vitest';
import { systemClock } from '../../core/base/clock.ts';
import { nodeNetwork } from '../../core/base/node-network.ts';
import { systemRandom } from '../../core/base/random.ts';
import { Cluster } from '../../core/client/cluster.ts';
import { consume } from '../../core/client/consumer.ts';
import { createTopic, unique } from './clients/all.ts';
import { copiers } from './clients/copier.ts';
import { kafkajsFor } from './clients/kafkajs.ts';

const COUNT = 40;
const bootstrap = inject('bootstrap');
const records = Array.from({ length: COUNT }, (_, i) => `record ${i}`);

async function read(topic: string, isolation: 'read_committed' | 'read_uncommitted'): Promise<string[]> {
  const options = { brokers: [bootstrap], network: nodeNetwork, clock: systemClock, random: systemRandom };
  const cluster = new Cluster(options);
  const values: string[] = [];
  for await (const some of consume(cluster, { topic, from: 'earliest', exitAtEnd: true, isolation })) {
    values.push(...some.map(({ value }) => Buffer.from(value ?? []).toString()));
  }
  await cluster.close();
  return values;
}

test.each(copiers())('$name copies in transactions, each record once, and is fenced', async copier => {
  const [from, to, group] = [await createTopic('from'), await createTopic('to', 3), unique('copier')];
  const kafka = kafkajsFor(bootstrap);
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic: from, messages: records.map(value => ({ value, partition: 0 })) });
  await producer.disconnect();

  expect(await copier.run({ bootstrap, from, to, group, count: COUNT })).toEqual({ copied: COUNT, fenced: true });

  const committed = await read(to, 'read_committed');
  expect(committed.toSorted()).toEqual(['last', ...records].toSorted());
  const everything = await read(to, 'read_uncommitted');
  expect(everything).toContain('zombie');
  expect(everything.length).toBeGreaterThan(committed.length + 5);
  expect(new Set(everything).size).toBe(COUNT + 2);
  if (!copier.positions) return;
  const admin = kafka.admin();
  await admin.connect();
  const [position] = await admin.fetchOffsets({ groupId: group, topics: [from] });
  await admin.disconnect();
  expect(position?.partitions[0]?.offset).toBe(String(COUNT));
});
