/** Transactions back to back, by unmodified clients: one record each, and the next begins when the last is committed. */
import { Kafka, logLevel } from 'kafkajs';
import { Producer, stringSerializers } from '@platformatic/kafka';
import { percentiles } from './disk.ts';

/** Not counted: connections, the transactional id, and a client that gets warm. */
const WARM_UP = 100;

type Transaction = () => Promise<void>;
interface Client {
  once: Transaction;
  close(): Promise<unknown>;
}

/** Clients by name; each is opened with a broker's address, a topic that is there and a transactional id of its own. */
export const transactionalClients: Record<string, (broker: string, topic: string, id: string) => Promise<Client>> = {
  async kafkajs(broker, topic, id) {
    const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING });
    const producer = kafka.producer({ transactionalId: id, idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    return {
      once: async () => {
        const transaction = await producer.transaction();
        await transaction.send({ topic, messages: [{ value: 'one record' }] });
        await transaction.commit();
      },
      close: () => producer.disconnect(),
    };
  },
  async platformatic(broker, topic, id) {
    const producer = new Producer({
      clientId: id,
      bootstrapBrokers: [broker],
      idempotent: true,
      transactionalId: id,
      serializers: stringSerializers,
    });
    return {
      once: async () => {
        const transaction = await producer.beginTransaction();
        await transaction.send({ messages: [{ topic, value: 'one record' }] });
        await transaction.commit();
      },
      close: () => producer.close(),
    };
  },
};

/** Milliseconds from a transaction's begin to the answer of its commit, over `count` transactions. */
export async function transactions(client: Client, count: number): Promise<Record<string, number>> {
  const took: number[] = [];
  try {
    for (let n = 0; n < WARM_UP + count; n++) {
      const began = performance.now();
      await client.once();
      if (n >= WARM_UP) took.push(performance.now() - began);
    }
  } finally {
    await client.close();
  }
  return percentiles(took);
}
