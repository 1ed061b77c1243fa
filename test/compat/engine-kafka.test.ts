import { afterAll, beforeAll, describe, test, vi } from 'vitest';
import { engineConformance } from '../core/engine/conformance.ts';
import { kafkaFixture } from '../core/engine/kafka-fixture.ts';
import { startKafka } from '../servers/kafka.ts';
import { emptyKafka, transactionsSettled } from '../servers/kafka-state.ts';
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
        await transactionsSettled(kafka.bootstrap);
        await kafka.kill9();
        await kafka.restart();
      },
      stop: () => emptyKafka(kafka.bootstrap),
    }),
  );
}
