/** Idempotent producers: every client's own, and the rules a broker must keep, batch by batch. */
import { describe, expect, inject, test } from 'vitest';
import { Wire } from '../servers/wire.ts';
import { decodeBatches, encodeBatch } from '../servers/wire-batch.ts';
import { allClients, createTopic } from './clients/all.ts';

const bootstrap = inject('bootstrap');
const values = (from: number, count: number): Buffer[] =>
  Array.from({ length: count }, (_, i) => Buffer.from(`record ${from + i}`));

test.each(allClients())('$name produces with idempotence on', async client => {
  const topic = await createTopic('idempotent');
  const records = values(0, 5).map(value => ({ key: null, value, headers: [] }));
  await client.produce(topic, records, { idempotent: true });
  const wire = await Wire.connect(bootstrap);
  const batches = decodeBatches((await wire.fetch(topic, 0, 0)).records);
  wire.close();
  expect(batches.reduce((sum, batch) => sum + batch.count, 0)).toBe(5);
  for (const batch of batches) expect(batch.producerId).toBeGreaterThanOrEqual(0n);
});

describe('a batch', () => {
  const setUp = async () => {
    const topic = await createTopic('sequence');
    const wire = await Wire.connect(bootstrap);
    const { error, producerId, producerEpoch } = await wire.initProducerId();
    expect(error).toBe(0);
    const send = (baseSequence: number, count: number, epoch = producerEpoch) =>
      wire.produce(
        topic,
        0,
        encodeBatch({ values: values(baseSequence, count), producerId, producerEpoch: epoch, baseSequence }),
      );
    const count = async (): Promise<number> => (await wire.listOffset(topic, 0, -1)).offset;
    return { wire, topic, send, count, producerId };
  };

  test('that is sent again gets its first offset again and is not stored twice', async () => {
    const { wire, send, count } = await setUp();
    expect(await send(0, 3)).toEqual({ error: 0, offset: 0 });
    expect(await send(3, 2)).toEqual({ error: 0, offset: 3 });
    expect(await send(0, 3)).toEqual({ error: 0, offset: 0 });
    expect(await send(3, 2)).toEqual({ error: 0, offset: 3 });
    expect(await count()).toBe(5);
    wire.close();
  });

  test('that skips a sequence number is refused with OUT_OF_ORDER_SEQUENCE_NUMBER', async () => {
    const { wire, send, count } = await setUp();
    expect((await send(0, 3)).error).toBe(0);
    expect((await send(4, 1)).error).toBe(45);
    expect((await send(3, 1)).error).toBe(0);
    expect(await count()).toBe(4);
    wire.close();
  });

  test('of the last five is known; an older one is refused as a duplicate that has no known offset', async () => {
    const { wire, send, count } = await setUp();
    for (let i = 0; i < 8; i++) expect((await send(i, 1)).error).toBe(0);
    for (let i = 3; i < 8; i++) expect(await send(i, 1)).toEqual({ error: 0, offset: i });
    expect((await send(0, 1)).error).not.toBe(0);
    expect(await count()).toBe(8);
    wire.close();
  });

  test('of an older epoch is fenced', async () => {
    const { wire, send } = await setUp();
    expect((await send(0, 1, 1)).error).toBe(0);
    expect((await send(1, 1, 0)).error).toBe(47);
    wire.close();
  });

  test('with a wrong CRC is refused with CORRUPT_MESSAGE', async () => {
    const { wire, topic, count } = await setUp();
    const bytes = encodeBatch({ values: values(0, 1) });
    bytes[bytes.length - 2] = 0xee;
    expect((await wire.produce(topic, 0, bytes)).error).toBe(2);
    expect(await count()).toBe(0);
    wire.close();
  });

  test('many in flight at once are stored in the order in which they were sent', async () => {
    const { wire, topic, send } = await setUp();
    const answers = await Promise.all(Array.from({ length: 5 }, (_, i) => send(i * 2, 2)));
    expect(answers).toEqual([0, 2, 4, 6, 8].map(offset => ({ error: 0, offset })));
    const batches = decodeBatches((await wire.fetch(topic, 0, 0)).records);
    expect(batches.map(batch => batch.baseSequence)).toEqual([0, 2, 4, 6, 8]);
    wire.close();
  });
});

test('two producers get different producer ids', async () => {
  const wire = await Wire.connect(bootstrap);
  const one = await wire.initProducerId();
  const two = await wire.initProducerId();
  expect(one.producerId).not.toBe(two.producerId);
  wire.close();
});
