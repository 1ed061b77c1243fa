import { describe, test } from 'vitest';
import { kafkaFaultsSuite } from '../core/engine/kafka-faults-suite.ts';
import { startKafka } from '../servers/kafka.ts';
import { requireTool } from '../servers/tools.ts';

if (requireTool('kafka') === null) {
  describe('faults of engine kafka, on Apache Kafka', () => {
    test.skip('skipped: needs Apache Kafka', () => {});
  });
} else {
  kafkaFaultsSuite('on Apache Kafka', () =>
    startKafka({
      'group.min.session.timeout.ms': '500',
      // The records of the cases are old.
      'log.retention.ms': '-1',
      'offsets.topic.num.partitions': '2',
      'transaction.state.log.num.partitions': '2',
    }),
  );
}
