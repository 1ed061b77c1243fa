/** kafkajs with idempotence on; one send at a time, as its idempotent mode wants it. */
import kafkajs from 'kafkajs';
import { sleep } from '../../servers/process.ts';
import { type Producer, valueOf } from './producer.ts';

export function startKafkajs(
  bootstrap: string,
  topic: string,
  partitions: number,
  firstPartition = 0,
): Promise<Producer> {
  const kafka = new kafkajs.Kafka({
    clientId: 'faults',
    brokers: [bootstrap],
    logLevel: kafkajs.logLevel.NOTHING,
    connectionTimeout: 1000,
    requestTimeout: 5000,
    retry: { initialRetryTime: 30, maxRetryTime: 200, retries: 200 },
  });
  const next = new Array<number>(partitions).fill(0);
  const state = { finishing: false };
  const producer: Producer = {
    name: 'kafkajs',
    topic,
    firstPartition,
    partitions,
    acked: new Array<number>(partitions).fill(0),
    unknown: Array.from({ length: partitions }, () => new Set<number>()),
    violation: undefined,
    async finish() {
      state.finishing = true;
      await running;
    },
  };

  const run = async (): Promise<void> => {
    while (!state.finishing) {
      const client = kafka.producer({
        idempotent: true,
        maxInFlightRequests: 1,
        createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      });
      try {
        await client.connect();
        while (!state.finishing) {
          const sending = next.map((from, partition) => ({ partition, from, count: 10 }));
          for (const { partition, from, count } of sending) next[partition] = from + count;
          try {
            await client.send({
              topic,
              acks: -1,
              messages: sending.flatMap(({ partition, from, count }) =>
                Array.from({ length: count }, (_, i) => ({
                  partition: firstPartition + partition,
                  value: valueOf(from + i),
                })),
              ),
            });
          } catch (error) {
            // It gave up; it would use the same sequence numbers for the next records, so it must not go on.
            for (const { partition, from, count } of sending) {
              for (let n = from; n < from + count; n++) producer.unknown[partition]?.add(n);
            }
            throw error;
          }
          for (const { partition, from, count } of sending) producer.acked[partition] = from + count;
          await sleep(5);
        }
      } catch {
        // A new producer with a new producer id goes on with new records.
      } finally {
        await client.disconnect().catch(() => {});
      }
    }
  };
  const running = run();
  return Promise.resolve(producer);
}
