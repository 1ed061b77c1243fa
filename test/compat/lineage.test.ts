/** What a pipeline leaves in the markers of its outputs is there, and disturbs no client and no tool. */
import { cpSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Millstream } from '../servers/millstream.ts';
import { eventually } from '../servers/process.ts';
import { requireTool } from '../servers/tools.ts';
import { Wire } from '../servers/wire.ts';
import { allClients } from './clients/all.ts';
import { runKafkaTool } from './clients/java.ts';
import { kafkajsFor } from './clients/kafkajs.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const PIPELINE = `
name = "traced"
[source]
topic = "traced"
[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["secret"] }
[sinks.out.file]
path = "out/traced.ndjson"
`;
const ROUNDS = 5;
const classPath = requireTool('kafka');
const server = await Millstream.prepare();

beforeAll(async () => {
  cpSync(join(root, 'modules/pii_scrubber'), join(server.folder, 'modules/pii_scrubber'), { recursive: true });
  writeFileSync(join(server.folder, 'pipelines/traced.toml'), PIPELINE);
  await server.restart();
  const producer = kafkajsFor(server.bootstrap).producer();
  await producer.connect();
  const wire = await Wire.connect(server.bootstrap);
  for (let round = 0; round < ROUNDS; round++) {
    await producer.send({ topic: 'traced', messages: [{ value: `{"n":${round}}`, partition: 0 }] });
    // Each record in a commit of its own: two offsets, its record and the marker.
    await eventually('the output of a round', async () => {
      const { offset } = await wire.listOffset('traced.out', 0, -1);
      return offset >= 2 * (round + 1) || undefined;
    });
  }
  wire.close();
  await producer.disconnect();
});
afterAll(() => server.stop());

test.each(allClients(server.bootstrap))('$name reads the records between the markers', async client => {
  const read = await client.consume([{ topic: 'traced.out', count: ROUNDS }]);
  const records = read.get('traced.out') ?? [];
  expect(records.map(({ offset, value }) => `${offset} ${value?.toString()}`)).toEqual(
    Array.from({ length: ROUNDS }, (_, round) => `${2 * round} {"n":${round}}`),
  );
});

test.skipIf(classPath === null)('DumpLogSegments shows the markers for what they are', async () => {
  // It takes the room that a running server keeps ahead for damage.
  await server.terminate();
  const folder = join(server.dataDir, 'log', 'traced.out-0');
  const file = readdirSync(folder).find(name => name.endsWith('.log')) ?? '';
  const dump = await runKafkaTool(classPath ?? '', 'org.apache.kafka.tools.DumpLogSegments', [
    '--files',
    join(folder, file),
    '--print-data-log',
  ]);
  expect(dump.match(/endTxnMarker: COMMIT coordinatorEpoch: 0/g)).toHaveLength(ROUNDS);
  expect(dump.match(/headerKeys: \[millstream\.lineage\] endTxnMarker/g)).toHaveLength(ROUNDS);
});
