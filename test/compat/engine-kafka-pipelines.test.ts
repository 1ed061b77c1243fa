import { describe, test } from 'vitest';
import { engineKafkaSuite } from '../server/engine-kafka-suite.ts';
import { startKafka } from '../servers/kafka.ts';
import { requireTool } from '../servers/tools.ts';

/** A project's pipelines, sinks and dead letters on a real Apache Kafka. */
if (requireTool('kafka') === null) {
  describe('[engine] kind = "kafka", on Apache Kafka', () => {
    test.skip('skipped: needs Apache Kafka', () => {});
  });
} else {
  engineKafkaSuite('on Apache Kafka', () =>
    startKafka({ 'offsets.topic.num.partitions': '2', 'transaction.state.log.num.partitions': '2' }),
  );
}
