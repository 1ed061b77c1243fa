/** Committed offsets with their metadata: what one client commits, every other reads back, character by character. */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { Consumer } from '@platformatic/kafka';
import { requireTool } from '../servers/tools.ts';
import { Wire } from '../servers/wire.ts';
import { encodeBatch } from '../servers/wire-batch.ts';
import { createTopic, setOffset, unique } from './clients/all.ts';
import { runPython } from './clients/confluent.ts';
import { kafkajsFor } from './clients/kafkajs.ts';

const bootstrap = inject('bootstrap');
const METADATA = 'v1:state of the task — "quoted", ünïcode, {"json":true}';
const kafka = kafkajsFor(bootstrap);
const admin = kafka.admin();
const python = requireTool('confluent');
const inPython = <T>(...calls: unknown[][]): Promise<T> => runPython<T>(python ?? '', 'admin.py', { bootstrap, calls });
let topic = '';

beforeAll(async () => {
  topic = await createTopic('committed');
  const wire = await Wire.connect(bootstrap);
  await wire.produce(topic, 0, encodeBatch({ values: [Buffer.from('only')] }));
  wire.close();
  await admin.connect();
});
afterAll(() => admin.disconnect());

const readBack = async (group: string): Promise<{ offset: string; metadata: string | null } | undefined> => {
  const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
  const partition = found?.partitions[0];
  return partition && { offset: partition.offset, metadata: partition.metadata };
};

test('a group that never committed has no offset', async () => {
  expect(await readBack(unique('never'))).toMatchObject({ offset: '-1' });
});

test('kafkajs commits an offset with metadata and reads it back', async () => {
  const group = unique('kafkajs');
  const consumer = kafka.consumer({ groupId: group });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await new Promise<void>((resolve, reject) => {
    void consumer.run({
      autoCommit: false,
      eachMessage: async () => {
        const commit = consumer.commitOffsets([{ topic, partition: 0, offset: '41', metadata: METADATA }]);
        await commit.then(resolve, reject);
      },
    });
  });
  await consumer.disconnect();
  expect(await readBack(group)).toEqual({ offset: '41', metadata: METADATA });
});

test('a group without members commits too, and a later commit replaces the earlier one, also with a smaller offset', async () => {
  const group = unique('later');
  await setOffset(group, topic, 100, METADATA);
  expect(await readBack(group)).toEqual({ offset: '100', metadata: METADATA });
  await setOffset(group, topic, 50);
  expect((await readBack(group))?.offset).toBe('50');
});

describe.skipIf(python === null)('confluent-kafka', () => {
  test('commits an offset with metadata; kafkajs, @platformatic/kafka and itself read it', async () => {
    const group = unique('confluent');
    const [done, own] = await inPython<[string, object]>(
      ['commit', group, topic, 1234, METADATA],
      ['committed', group, topic],
    );
    expect(done).toBe('committed');
    expect(own).toEqual({ offset: 1234, metadata: METADATA });
    // librdkafka's Python binding sends the end of its C string along.
    expect(await readBack(group)).toEqual({ offset: '1234', metadata: `${METADATA}\0` });
    const consumer = new Consumer({ clientId: 'compat', bootstrapBrokers: [bootstrap], groupId: group });
    const committed = await consumer.listCommittedOffsets({ topics: [{ topic, partitions: [0] }] });
    await consumer.close();
    expect(committed.get(topic)).toEqual([1234n]);
  });

  test('keeps 4,000 characters of metadata and is refused above the limit', async () => {
    const group = unique('long');
    const [fits, tooLong, own] = await inPython<object[]>(
      ['commit', group, topic, 1, 'x'.repeat(4000)],
      ['commit', group, topic, 2, 'x'.repeat(4097)],
      ['committed', group, topic],
    );
    expect(fits).toBe('committed');
    expect(tooLong).toEqual({ error: 'OFFSET_METADATA_TOO_LARGE' });
    expect(own).toEqual({ offset: 1, metadata: 'x'.repeat(4000) });
  });
});
