/** @platformatic/kafka 2: the newest, flexible versions of the protocol, fetch by topic id where it is offered. */
import {
  Consumer,
  MessagesStreamModes,
  ProduceAcks,
  Producer,
  type Deserializers,
  type Serializers,
} from '@platformatic/kafka';
import { type Client, CODECS, type ReadRecord } from './client.ts';

type Bytes = Buffer | null;
// Without these the client would turn bytes into text.
const asIs = (data?: Bytes): Buffer | undefined => data ?? undefined;
export const bytesIn = { key: asIs, value: asIs, headerKey: asIs, headerValue: asIs } as unknown as Partial<
  Serializers<Buffer, Buffer, Buffer, Buffer>
>;
export const bytesOut = { key: asIs, value: asIs, headerKey: asIs, headerValue: asIs } as unknown as Deserializers<
  Buffer,
  Buffer,
  Buffer,
  Buffer
>;

export function platformaticClient(bootstrap: string): Client {
  const base = { clientId: 'compat', bootstrapBrokers: [bootstrap], retries: 5, retryDelay: 100 };
  return {
    name: '@platformatic/kafka',
    // Headers are a Map with names as keys.
    write: { noRepeatedHeaders: true, noNullHeaders: true },
    read: { noRepeatedHeaders: true },
    codecs: CODECS,

    async produce(topic, records, { codec = 'none', idempotent = false, acks = -1 } = {}) {
      const producer = new Producer({ ...base, serializers: bytesIn, idempotent });
      try {
        await producer.send({
          compression: codec,
          ...(idempotent ? {} : { acks: acks === 1 ? ProduceAcks.LEADER : ProduceAcks.ALL }),
          messages: records.map(record => ({
            topic,
            partition: record.partition ?? 0,
            key: record.key as Buffer,
            value: record.value as Buffer,
            headers: new Map(record.headers.map(([name, value]) => [Buffer.from(name), value as Buffer])),
            ...(record.timestamp === undefined ? {} : { timestamp: BigInt(record.timestamp) }),
          })),
        });
      } finally {
        await producer.close();
      }
    },

    async consume(topics) {
      const results = new Map<string, ReadRecord[]>(topics.map(({ topic }) => [topic, []]));
      const consumer = new Consumer({
        ...base,
        groupId: `reader-${topics[0]?.topic}-${Math.random().toString(36).slice(2)}`,
        deserializers: bytesOut,
        maxBytes: 60_000_000,
        maxWaitTime: 200,
      });
      try {
        const stream = await consumer.consume({ topics: topics.map(t => t.topic), mode: MessagesStreamModes.EARLIEST });
        for await (const message of stream) {
          results.get(message.topic)?.push({
            partition: message.partition,
            offset: Number(message.offset),
            timestamp: Number(message.timestamp),
            key: message.key ?? null,
            value: message.value ?? null,
            headers: [...message.headers].map(([name, value]): [string, Buffer | null] => [
              name.toString(),
              value ?? null,
            ]),
          });
          if (topics.every(t => (results.get(t.topic)?.length ?? 0) >= t.count)) break;
        }
      } finally {
        await consumer.close(true);
      }
      return results;
    },
  };
}
