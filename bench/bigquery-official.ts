/**
 * The peers of bigquery.ts: `node bench/bigquery-official.ts HOST:PORT TABLE ROWS [BROKER TOPIC]`. Google's JSONWriter on a
 * committed stream with offsets. Without a broker it is fed from memory: batches of 1,000 rows of JSON text, ten of them in
 * flight. With one it is what people write themselves: kafkajs reads, positions are committed behind the rows, and a
 * crash in between doubles rows. It waits to be ended when all are acknowledged.
 */
import { adapt, managedwriter } from '@google-cloud/bigquery-storage';
import { credentials } from '@grpc/grpc-js';
import { Kafka, logLevel } from 'kafkajs';
import { FIELDS, rowText } from './bigquery-rows.ts';

const BATCH = 1000;
const IN_FLIGHT = 10;

type Row = Record<string, string | number | boolean | null>;

const [address = '', name = '', count = '0', broker, topic = ''] = process.argv.slice(2);
const [host = '', port] = address.split(':');
const client = new managedwriter.WriterClient({
  projectId: 'p',
  apiEndpoint: host,
  port: Number(port),
  sslCreds: credentials.createInsecure(),
});
const streamId = await client.createWriteStream({
  streamType: managedwriter.CommittedStream,
  destinationTable: `projects/p/datasets/d/tables/${name}`,
});
const connection = await client.createStreamConnection({ streamId });
const schema = adapt.convertBigQuerySchemaToStorageTableSchema({ fields: FIELDS });
const protoDescriptor = adapt.convertStorageSchemaToProto2Descriptor(schema, 'root');
const writer = new managedwriter.JSONWriter({ connection, protoDescriptor });
let offset = 0;

function append(texts: readonly string[]): Promise<unknown> {
  const rows = texts.map(text => JSON.parse(text) as Row);
  const answer = writer.appendRows(rows, offset).getResult();
  offset += rows.length;
  return answer;
}

async function fromMemory(): Promise<void> {
  const texts = Array.from({ length: BATCH }, (_, i) => rowText(i));
  const waiting: Promise<unknown>[] = [];
  while (offset < Number(count)) {
    waiting.push(append(texts.slice(0, Number(count) - offset)));
    if (waiting.length >= IN_FLIGHT) await waiting.shift();
  }
  await Promise.all(waiting);
}

async function fromBroker(bootstrap: string): Promise<void> {
  const consumer = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING }).consumer({ groupId: name });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    partitionsConsumedConcurrently: IN_FLIGHT,
    eachBatch: async given => {
      const { batch } = given;
      for (let at = 0; at < batch.messages.length; at += BATCH) {
        const part = batch.messages.slice(at, at + BATCH);
        await append(part.map(({ value }) => String(value)));
        given.resolveOffset(part.at(-1)?.offset ?? '');
        await given.commitOffsetsIfNecessary();
        await given.heartbeat();
      }
    },
  });
}

await (broker === undefined ? fromMemory() : fromBroker(broker));
setInterval(() => {}, 60_000);
