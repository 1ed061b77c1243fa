/** Records from 1 byte to 10 MiB, and the code for one that is too large. */
import { createHash } from 'node:crypto';
import { expect, inject, test } from 'vitest';
import { seededRandom } from '../../core/base/random.ts';
import { Wire } from '../servers/wire.ts';
import { encodeBatch } from '../servers/wire-batch.ts';
import { allClients, createTopic } from './clients/all.ts';
import type { Client } from './clients/client.ts';

const KIB = 1024;
const SIZES = [1, 2, 127, 128, KIB, 16 * KIB, 64 * KIB + 1, KIB * KIB, 10 * KIB * KIB];
const blob = randomBytes(64 * KIB);
function randomBytes(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  seededRandom(3).fill(bytes);
  return bytes;
}
/** Bytes that do not compress away, different at every size. */
const valueOf = (size: number): Buffer => Buffer.alloc(size, blob.subarray(size % 997));
const digest = (data: Buffer | null): string =>
  `${data?.length} ${createHash('sha256')
    .update(data ?? '')
    .digest('hex')}`;

const clients = allClients();
/** Every client writes once and reads what another one wrote. */
const pairs = clients.map((writer, i) => ({ writer, reader: clients[(i + 1) % clients.length] as Client }));

test.each(pairs)('$writer.name writes 1 byte to 10 MiB, $reader.name reads them', async ({ writer, reader }) => {
  const topic = await createTopic('sizes');
  const records = SIZES.map(size => ({ key: null, value: valueOf(size), headers: [] }));
  await writer.produce(topic, records);
  const read = (await reader.consume([{ topic, count: records.length }])).get(topic) ?? [];
  expect(read.map(one => digest(one.value))).toEqual(records.map(one => digest(one.value)));
});

test('a batch above the limit of its topic is refused with MESSAGE_TOO_LARGE, and the connection lives on', async () => {
  const topic = await createTopic('limit', 1, { 'max.message.bytes': '1000' });
  const wire = await Wire.connect(inject('bootstrap'));
  expect((await wire.produce(topic, 0, encodeBatch({ values: [valueOf(2000)] }))).error).toBe(10);
  expect(await wire.produce(topic, 0, encodeBatch({ values: [valueOf(800)] }))).toEqual({ error: 0, offset: 0 });
  wire.close();
});

test('a batch above the limit of the broker is refused with MESSAGE_TOO_LARGE, and the connection lives on', async () => {
  const topic = await createTopic('limit');
  const wire = await Wire.connect(inject('bootstrap'));
  expect((await wire.produce(topic, 0, encodeBatch({ values: [valueOf(13 * KIB * KIB)] }))).error).toBe(10);
  expect(await wire.produce(topic, 0, encodeBatch({ values: [valueOf(800)] }))).toEqual({ error: 0, offset: 0 });
  wire.close();
});
