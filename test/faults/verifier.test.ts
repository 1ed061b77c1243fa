/** The verifier of the kill suite must see each kind of damage; here the log is wrong on purpose. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Millstream } from '../servers/millstream.ts';
import { Wire } from '../servers/wire.ts';
import { encodeBatch } from '../servers/wire-batch.ts';
import { type Producer, valueOf } from './producers/producer.ts';
import { Verifier } from './verifier.ts';

let server: Millstream;
beforeAll(async () => {
  server = await Millstream.start();
});
afterAll(() => server.stop());

/** A topic that holds these numbers, and a producer that thinks that everything below `acked` is acked. */
async function verifierFor(topic: string, numbers: number[], acked: number, unknown: number[] = []): Promise<Verifier> {
  const wire = await Wire.connect(server.bootstrap);
  await wire.createTopic(topic, 1);
  const values = numbers.map(n => Buffer.from(valueOf(n)));
  if (values.length > 0) expect((await wire.produce(topic, 0, encodeBatch({ values }))).error).toBe(0);
  wire.close();
  const producer: Producer = {
    name: 'test',
    topic,
    firstPartition: 0,
    partitions: 1,
    acked: [acked],
    unknown: [new Set(unknown)],
    violation: undefined,
    finish: () => Promise.resolve(),
  };
  return new Verifier(server.bootstrap, producer);
}

test('what is right passes, unacked records at the end included', async () => {
  const verifier = await verifierFor('right', [0, 1, 2, 3], 3);
  await verifier.check();
  expect(verifier.records).toBe(4);
});

test('records that the client gave up on may be there or not', async () => {
  await (await verifierFor('given-up', [0, 2, 3, 5], 6, [1, 3, 4])).check();
});

test.each([
  ['a lost record at the end', [0, 1], 3, /records 2 to 2 were acked/],
  ['everything lost', [], 1, /records 0 to 0 were acked/],
  ['a lost record in the middle', [0, 2], 3, /record 2 at offset 1, where record 1 is due/],
  ['a record that is there twice', [0, 1, 1, 2], 3, /record 1 at offset 2, where record 2 is due/],
  ['two records in the wrong order', [0, 2, 1], 3, /record 2 at offset 1, where record 1 is due/],
])('%s is found', async (what, numbers, acked, says) => {
  const verifier = await verifierFor(what.replaceAll(' ', '-'), numbers, acked);
  await expect(verifier.check()).rejects.toThrow(says);
});
