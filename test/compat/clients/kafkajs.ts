/** kafkajs 2.2.4: the old, non-flexible versions of the protocol. It decodes gzip only; the other codecs are plugged in. */
import { compressionsAlgorithms } from '@platformatic/kafka';
import kafkajs from 'kafkajs';
import { type Client, CODECS, type Codec, type ReadRecord } from './client.ts';

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;

const types: Record<Codec, number> = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};

let registered = false;
/** The codecs come from another client, so that none of ours judges itself. */
function registerCodecs(): void {
  if (registered) return;
  registered = true;
  for (const name of ['snappy', 'lz4', 'zstd'] as const) {
    const codec = compressionsAlgorithms[name];
    (CompressionCodecs as Record<number, unknown>)[types[name]] = () => ({
      compress: (encoder: { buffer: Buffer }) => Promise.resolve(Buffer.from(codec.compressSync(encoder.buffer))),
      decompress: (buffer: Buffer) => Promise.resolve(Buffer.from(codec.decompressSync(buffer))),
    });
  }
}

/** A quiet kafkajs instance for tests that use its own interface. */
export function kafkajsFor(bootstrap: string): kafkajs.Kafka {
  registerCodecs();
  return new Kafka({ clientId: 'compat', brokers: [bootstrap], logLevel: logLevel.NOTHING });
}

export function kafkajsClient(bootstrap: string): Client {
  const kafka = kafkajsFor(bootstrap);
  return {
    name: 'kafkajs',
    // A header map: several values of a name keep their order, not their place among other names.
    write: { noNullHeaders: true },
    read: {},
    codecs: CODECS,

    async produce(topic, records, { codec = 'none', idempotent = false, acks = -1 } = {}) {
      const producer = kafka.producer({ idempotent, createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
      await producer.connect();
      try {
        await producer.send({
          topic,
          acks,
          compression: types[codec],
          messages: records.map(record => {
            const headers: Record<string, Buffer | Buffer[]> = {};
            for (const [name, value] of record.headers) {
              const content = value ?? Buffer.alloc(0);
              const before = headers[name];
              headers[name] = before === undefined ? content : [before, content].flat();
            }
            return {
              key: record.key,
              value: record.value,
              headers,
              partition: record.partition ?? 0,
              ...(record.timestamp === undefined ? {} : { timestamp: String(record.timestamp) }),
            };
          }),
        });
      } finally {
        await producer.disconnect();
      }
    },

    async consume(topics) {
      const results = new Map<string, ReadRecord[]>(topics.map(({ topic }) => [topic, []]));
      const consumer = kafka.consumer({
        groupId: `reader-${topics[0]?.topic}-${Math.random().toString(36).slice(2)}`,
        maxBytesPerPartition: 12_000_000,
        maxBytes: 60_000_000,
      });
      await consumer.connect();
      try {
        await consumer.subscribe({ topics: topics.map(t => t.topic), fromBeginning: true });
        await new Promise<void>((resolve, reject) => {
          consumer.on('consumer.crash', event => {
            // It starts again by itself after errors that pass, for example while a coordinator loads.
            if (!event.payload.restart) reject(event.payload.error);
          });
          void consumer.run({
            // oxlint-disable-next-line require-await -- the interface wants a promise
            eachMessage: async ({ topic, partition, message }) => {
              results.get(topic)?.push({
                partition,
                offset: Number(message.offset),
                timestamp: Number(message.timestamp),
                key: message.key,
                value: message.value,
                headers: Object.entries(message.headers ?? {}).flatMap(([name, value]) =>
                  (Array.isArray(value) ? value : [value]).map((one): [string, Buffer | null] => [
                    name,
                    one === undefined || one === null ? null : Buffer.from(one),
                  ]),
                ),
              });
              if (topics.every(t => (results.get(t.topic)?.length ?? 0) >= t.count)) resolve();
            },
          });
        });
      } finally {
        await consumer.disconnect();
      }
      return results;
    },
  };
}
