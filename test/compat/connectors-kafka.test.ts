import { afterAll, beforeAll, describe, test } from 'vitest';
import { kafkaSinkSuite } from '../connectors/kafka-suite.ts';
import { startKafka } from '../servers/kafka.ts';
import { emptyKafka } from '../servers/kafka-state.ts';
import type { Target } from '../servers/target.ts';
import { requireTool } from '../servers/tools.ts';

/** The conformance kit of connectors on a real Apache Kafka. One Kafka for all cases: what one leaves behind is deleted. */
const SETTINGS = {
  'group.min.session.timeout.ms': '500',
  // The records of the cases are from another time.
  'log.retention.ms': '-1',
  'log.message.timestamp.after.max.ms': '9223372036854775807',
  'offsets.topic.num.partitions': '2',
  'transaction.state.log.num.partitions': '2',
};

if (requireTool('kafka') === null) {
  describe('connectors on engine kafka, on Apache Kafka', () => {
    test.skip('skipped: needs Apache Kafka', () => {});
  });
} else {
  let kafka: Target;
  beforeAll(async () => {
    kafka = await startKafka(SETTINGS);
  }, 180_000);
  afterAll(() => kafka?.stop());

  kafkaSinkSuite(
    'on Apache Kafka',
    async () => ({ bootstrap: kafka.bootstrap, done: () => emptyKafka(kafka.bootstrap) }),
    {
      'streaming inserts': 'streaming_inserts',
      'the default stream': { storage_write_api: { stream: 'default' } },
      'a committed stream': { storage_write_api: { stream: 'committed' } },
      'a buffered stream': { storage_write_api: { stream: 'buffered' } },
      'pending streams': { storage_write_api: { stream: 'pending' } },
    },
  );
}
