/**
 * The peer of bigquery.ts: `node bench/bigquery-official.ts HOST:PORT TABLE ROWS`. Google's JSONWriter on a committed stream
 * with offsets, batches of 1,000 rows from JSON text, ten of them in flight. It waits to be ended when all are acknowledged.
 */
import { adapt, managedwriter } from '@google-cloud/bigquery-storage';
import { credentials } from '@grpc/grpc-js';
import { FIELDS, rowText } from './bigquery-rows.ts';

const BATCH = 1000;
const IN_FLIGHT = 10;

const [address = '', name = '', count = '0'] = process.argv.slice(2);
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
/** Text, as a consumer has it: what the batches have in common is made before the clock starts. */
const texts = Array.from({ length: BATCH }, (_, i) => rowText(i));
const waiting: Promise<unknown>[] = [];
for (let offset = 0; offset < Number(count); offset += BATCH) {
  const rows = texts.slice(0, Number(count) - offset).map(text => JSON.parse(text) as Row);
  waiting.push(writer.appendRows(rows, offset).getResult());
  if (waiting.length >= IN_FLIGHT) await waiting.shift();
}
await Promise.all(waiting);
setInterval(() => {}, 60_000);

type Row = Record<string, string | number | boolean | null>;
