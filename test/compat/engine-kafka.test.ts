import { afterAll, beforeAll, describe, test, vi } from 'vitest';
import { Admin } from '../../core/client/admin.ts';
import { engineConformance } from '../core/engine/conformance.ts';
import { kafkaFixture, kafkaProcess } from '../core/engine/kafka-fixture.ts';
import { startKafka } from '../servers/kafka.ts';
import { eventually } from '../servers/process.ts';
import type { KillableTarget } from '../servers/target.ts';
import { requireTool } from '../servers/tools.ts';

/*
 * The conformance suite of engines, unchanged, on a real Apache Kafka. One Kafka for all cases: what one leaves behind
 * is deleted.
 */

const SETTINGS = {
  'group.min.session.timeout.ms': '500',
  // The records of the cases are old.
  'log.retention.ms': '-1',
  'offsets.topic.num.partitions': '2',
  'transaction.state.log.num.partitions': '2',
};

if (requireTool('kafka') === null) {
  describe('engine kafka, on Apache Kafka', () => {
    test.skip('skipped: needs Apache Kafka', () => {});
  });
} else {
  // One case kills Kafka and waits for it to come back.
  vi.setConfig({ testTimeout: 180_000 });
  let kafka: KillableTarget;
  beforeAll(async () => {
    kafka = await startKafka(SETTINGS);
  }, 180_000);
  afterAll(() => kafka?.stop());

  engineConformance('kafka, on Apache Kafka', () =>
    kafkaFixture({
      bootstrap: () => kafka.bootstrap,
      async crash() {
        await kafka.kill9();
        await kafka.restart();
      },
      stop: () => empty(kafka.bootstrap),
    }),
  );
}

/** Deletes all topics and groups, and waits until the broker has heard of it. */
async function empty(bootstrap: string): Promise<void> {
  const process = kafkaProcess(bootstrap);
  const admin = new Admin(process.cluster);
  await eventually('a cluster without groups and topics', async () => {
    const groups = await admin.groups.list();
    const topics = (await admin.topics.list()).filter(topic => !topic.isInternal);
    await Promise.allSettled([
      ...groups.map(({ group }) => admin.groups.delete(group)),
      ...topics.map(({ name }) => admin.topics.delete(name)),
    ]);
    return groups.length === 0 && topics.length === 0 ? true : undefined;
  });
  await process.close();
}
