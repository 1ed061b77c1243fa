import { describe, test } from 'vitest';
import { startKafka } from '../../servers/kafka.ts';
import { findTool } from '../../servers/tools.ts';
import { clientSuite } from './client-suite.ts';

if (process.env['KAFKA_LIBS'] !== undefined && findTool('kafka') !== null) {
  clientSuite('our client and Apache Kafka', () => startKafka());
} else {
  describe('our client and Apache Kafka', () => {
    test.skip('skipped: needs Java, and KAFKA_LIBS naming the folder with the jars of Apache Kafka', () => {});
  });
}
