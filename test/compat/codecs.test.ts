/** Every codec of every client: what one client compressed reaches the others untouched by the broker. */
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { Wire } from '../servers/wire.ts';
import { decodeBatches } from '../servers/wire-batch.ts';
import { allClients, createTopic } from './clients/all.ts';
import { CODECS, type ReadRecord, type WriteRecord } from './clients/client.ts';

const record = (client: string, codec: string, i: number): WriteRecord => ({
  key: Buffer.from(codec),
  value: Buffer.from(`${client} ${codec} ${i} `.repeat(100)),
  headers: [],
});

const clients = allClients();
const topics = new Map<string, string>();
const sent = (client: string): string[] =>
  CODECS.flatMap(codec => [0, 1, 2].map(i => record(client, codec, i).value?.toString() ?? ''));

beforeAll(async () => {
  for (const writer of clients) {
    const topic = await createTopic('codecs');
    topics.set(writer.name, topic);
    for (const codec of CODECS)
      await writer.produce(
        topic,
        [0, 1, 2].map(i => record(writer.name, codec, i)),
        { codec },
      );
  }
});

test.each(clients)('the broker keeps the codec that $name chose', async writer => {
  const wire = await Wire.connect(inject('bootstrap'));
  const batches = decodeBatches((await wire.fetch(topics.get(writer.name) ?? '', 0, 0)).records);
  wire.close();
  const seen = [...new Set(batches.map(batch => CODECS[batch.attributes & 7]))];
  expect(seen).toEqual(CODECS);
  for (const batch of batches) if ((batch.attributes & 7) !== 0) expect(batch.bytes.length).toBeLessThan(1000);
});

describe.each(clients)('$name decompresses', reader => {
  let read = new Map<string, ReadRecord[]>();

  beforeAll(async () => {
    const count = CODECS.length * 3;
    read = await reader.consume([...topics.values()].map(topic => ({ topic, count })));
  });

  test.each(clients)('every codec of $name', writer => {
    const got = read.get(topics.get(writer.name) ?? '') ?? [];
    expect(got.map(one => one.value?.toString())).toEqual(sent(writer.name));
  });
});
