import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkTopicName } from '../../../core/broker/topic-name.ts';
import { ErrorCode } from '../../../core/protocol/error-codes.ts';
import { batchOf, TestBroker, valuesOf } from './harness.ts';

let test: TestBroker;
beforeEach(async () => {
  test = await TestBroker.open();
});
afterEach(() => test.close());

/** Stops cleanly, and starts again on the same folder. */
async function restart(): Promise<void> {
  const { directory } = test;
  await test.broker.close();
  await test.store.close();
  test = await TestBroker.open({ directory });
}

describe('topic names', () => {
  it.each(['a', 'A.b_c-9', 'x'.repeat(249), '...'])('%s is one', name => {
    expect(() => checkTopicName(name)).not.toThrow();
  });
  it.each(['', '.', '..', 'a b', 'ä', 'a/b', 'a:b', 'x'.repeat(250)])('%s is none', name => {
    expect(() => checkTopicName(name)).toThrow(expect.objectContaining({ code: 'INVALID_TOPIC_EXCEPTION' }));
  });
});

describe('topics', () => {
  it('keep id, partitions and settings over a restart', async () => {
    const created = await test.broker.topics.create({
      name: 'orders',
      partitions: 3,
      configs: { 'retention.ms': '1000' },
    });
    await test.broker.topics.configure('orders', { 'max.message.bytes': '5000' });
    await test.broker.topics.addPartitions('orders', 5);
    await restart();
    const topic = test.broker.topics.require('orders');
    expect(topic.id).toBe(created.id);
    expect(topic.partitions).toHaveLength(5);
    expect(topic.configs).toEqual({ 'retention.ms': '1000', 'max.message.bytes': '5000' });
    expect(topic.settings).toMatchObject({ maxMessageBytes: 5000, log: { retentionMs: 1000 } });
    expect(test.broker.topics.byId(created.id)).toBe(topic);
  });

  it('are gone with their records when deleted, and a new one of the name has another id', async () => {
    const old = await test.broker.topics.create({ name: 'orders', partitions: 1 });
    await test.produce('orders', 0, batchOf(['a']));
    await test.broker.topics.delete('orders');
    expect(await test.store.list()).toEqual([expect.objectContaining({ topic: '__consumer_offsets' })]);
    const fresh = await test.broker.topics.create({ name: 'orders', partitions: 1 });
    expect(fresh.id).not.toBe(old.id);
    await restart();
    expect(test.broker.topics.require('orders').id).toBe(fresh.id);
    expect((await test.fetch('orders', 0, 0)).highWatermark).toBe(0);
  });

  it('are created once when many ask at the same time', async () => {
    const results = await Promise.allSettled(
      Array.from({ length: 5 }, () => test.broker.topics.create({ name: 'orders', partitions: 1 })),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const ensured = await Promise.all([1, 2, 3].map(() => test.broker.ensureTopic({ name: 'clicks' })));
    expect(new Set(ensured.map(({ topicId }) => topicId)).size).toBe(1);
  });

  it('are found again from their logs when the catalogue is lost', async () => {
    const { id } = await test.broker.topics.create({ name: 'orders', partitions: 2 });
    await test.produce('orders', 1, batchOf(['a']));
    const { directory } = test;
    await test.broker.close();
    await test.store.close();
    await rm(join(directory, 'meta'), { recursive: true });
    test = await TestBroker.open({ directory });
    expect(test.broker.topicInfo('orders')).toEqual({ topicId: id, name: 'orders', partitions: 2 });
    expect(valuesOf((await test.fetch('orders', 1, 0)).records)).toEqual([[0, 'a']]);
    expect(test.broker.topics.require('__consumer_offsets').internal).toBe(true);
  });

  it('tell who listens', async () => {
    const seen: string[] = [];
    const stop = test.broker.topics.onChange(({ kind, topic }) => seen.push(`${kind} ${topic.name}`));
    await test.broker.topics.create({ name: 'orders' });
    await test.broker.topics.configure('orders', { 'retention.ms': '5' });
    await test.broker.topics.delete('orders');
    stop();
    await test.broker.topics.create({ name: 'other' });
    expect(seen).toEqual(['created orders', 'changed orders', 'deleted orders']);
  });

  it('are refused by ensure when the number of partitions differs', async () => {
    await test.broker.topics.create({ name: 'orders', partitions: 2 });
    await expect(test.broker.ensureTopic({ name: 'orders', partitions: 3 })).rejects.toMatchObject({
      kind: 'conflict',
    });
    expect(await test.broker.ensureTopic({ name: 'orders' })).toMatchObject({ partitions: 2 });
  });
});

describe('retention', () => {
  it('removes old segments, but nothing at or above the floor', async () => {
    await test.close();
    let floor = 2;
    test = await TestBroker.open({ retentionFloor: () => floor });
    await test.broker.topics.create({
      name: 'orders',
      partitions: 1,
      configs: { 'retention.ms': '1', 'segment.bytes': '200' },
    });
    for (const value of ['a', 'b', 'c', 'd', 'e']) await test.produce('orders', 0, batchOf(['x'.repeat(150) + value]));
    await test.broker.housekeeping.run();
    expect(test.broker.log('orders', 0)?.startOffset).toBe(2);
    floor = Number.POSITIVE_INFINITY;
    await test.broker.housekeeping.run();
    expect(test.broker.log('orders', 0)?.startOffset).toBeGreaterThan(2);
  });
});

describe('CreateTopics', () => {
  type Spec = { name: string; numPartitions?: number; replicationFactor?: number; configs?: Record<string, string> };
  const create = async (specs: Spec[], validateOnly = false) => {
    const body = await test.ask(19, 7, {
      validateOnly,
      topics: specs.map(({ name, numPartitions = 1, replicationFactor = 1, configs = {} }) => ({
        name,
        numPartitions,
        replicationFactor,
        assignments: [],
        configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
      })),
    });
    return body.topics;
  };

  it('creates with defaults and tells the settings', async () => {
    const [topic] = await create([{ name: 'orders', numPartitions: -1, replicationFactor: -1 }]);
    expect(topic).toMatchObject({ errorCode: 0, numPartitions: 4, replicationFactor: 1 });
    expect(topic?.topicId).toBe(test.broker.topics.require('orders').id);
    expect(topic?.configs).toContainEqual(expect.objectContaining({ name: 'retention.ms', value: '604800000' }));
  });

  it('takes any replication factor and has one', async () => {
    expect((await create([{ name: 'orders', replicationFactor: 3 }]))[0]).toMatchObject({
      errorCode: 0,
      replicationFactor: 1,
    });
    const metadata = await test.ask(3, 9, { topics: [{ name: 'orders' }] });
    expect(metadata.topics[0]?.partitions[0]).toMatchObject({ leaderId: 1, replicaNodes: [1], isrNodes: [1] });
  });

  it('only looks when it is to validate only', async () => {
    expect((await create([{ name: 'orders' }], true))[0]).toMatchObject({ errorCode: 0, numPartitions: 1 });
    expect(test.broker.topicInfo('orders')).toBeNull();
  });

  it('refuses each topic for its own reason', async () => {
    await create([{ name: 'orders' }, { name: 'a.b' }]);
    const codes = await create([
      { name: 'orders' },
      { name: 'a_b' },
      { name: 'no good' },
      { name: 'none', numPartitions: 0 },
      { name: 'zero', replicationFactor: 0 },
      { name: 'odd', configs: { 'no.such': '1' } },
      { name: 'bad', configs: { 'retention.ms': 'soon' } },
      { name: 'zip', configs: { 'compression.type': 'gzip' } },
      { name: 'twice' },
      { name: 'twice' },
      { name: 'good', configs: { 'cleanup.policy': 'compact,delete' } },
    ]);
    expect(codes.map(({ errorCode }) => errorCode)).toEqual([
      ErrorCode.TOPIC_ALREADY_EXISTS,
      ErrorCode.INVALID_TOPIC_EXCEPTION,
      ErrorCode.INVALID_TOPIC_EXCEPTION,
      ErrorCode.INVALID_PARTITIONS,
      ErrorCode.INVALID_REPLICATION_FACTOR,
      ErrorCode.INVALID_CONFIG,
      ErrorCode.INVALID_CONFIG,
      ErrorCode.INVALID_CONFIG,
      ErrorCode.INVALID_REQUEST,
      ErrorCode.INVALID_REQUEST,
      ErrorCode.NONE,
    ]);
    expect(codes[6]?.errorMessage).toContain('retention.ms');
  });
});

describe('DeleteTopics and CreatePartitions', () => {
  it('delete by name and by id', async () => {
    const { id } = await test.broker.topics.create({ name: 'one' });
    await test.broker.topics.create({ name: 'two' });
    const byId = await test.ask(20, 6, { timeoutMs: 1, topics: [{ name: null, topicId: id }, { name: 'none' }] });
    expect(byId.responses.map(({ name, errorCode }) => [name, errorCode])).toEqual([
      ['one', 0],
      ['none', ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
    ]);
    const byName = await test.ask(20, 5, { timeoutMs: 1, topicNames: ['two', '__consumer_offsets'] });
    expect(byName.responses.map(({ errorCode }) => errorCode)).toEqual([0, ErrorCode.INVALID_REQUEST]);
    expect(test.broker.topics.list().map(({ name }) => name)).toEqual(['__consumer_offsets']);
  });

  it('add partitions, never fewer', async () => {
    await test.broker.topics.create({ name: 'orders', partitions: 2 });
    const add = async (count: number): Promise<number | undefined> => {
      const topics = [{ name: 'orders', count, assignments: null }];
      return (await test.ask(37, 3, { timeoutMs: 1, topics, validateOnly: false })).results[0]?.errorCode;
    };
    expect([await add(2), await add(4)]).toEqual([ErrorCode.INVALID_PARTITIONS, 0]);
    expect(await test.produce('orders', 3, batchOf(['a']))).toMatchObject({ errorCode: 0 });
  });
});

describe('Metadata', () => {
  it('creates a topic on first use, unless the client or the broker forbids it', async () => {
    const ask = async (name: string, allowAutoTopicCreation: boolean) =>
      (await test.ask(3, 12, { topics: [{ name }], allowAutoTopicCreation })).topics[0];
    expect(await ask('orders', false)).toMatchObject({ errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION });
    expect((await ask('orders', true))?.partitions).toHaveLength(4);
    expect(await ask('no good', true)).toMatchObject({ errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION });
  });

  it('lists everything for null, and in version 0 for an empty list', async () => {
    await test.broker.topics.create({ name: 'orders' });
    const all = await test.ask(3, 5, { topics: null });
    expect(all.topics.map(({ name, isInternal }) => [name, isInternal])).toEqual([
      ['__consumer_offsets', true],
      ['orders', false],
    ]);
    expect((await test.ask(3, 0, { topics: [] })).topics).toHaveLength(2);
    expect((await test.ask(3, 1, { topics: [] })).topics).toHaveLength(0);
    expect(all).toMatchObject({ controllerId: 1, clusterId: test.broker.clusterId });
    expect(all.brokers).toEqual([expect.objectContaining({ nodeId: 1, host: 'broker.test', port: 9092 })]);
  });

  it('finds topics by id', async () => {
    const { id } = await test.broker.topics.create({ name: 'orders' });
    const unknown = 'f'.repeat(32);
    const found = await test.ask(3, 12, {
      topics: [
        { name: null, topicId: id },
        { name: null, topicId: unknown },
      ],
    });
    expect(found.topics.map(({ name, errorCode, topicId }) => [name, errorCode, topicId])).toEqual([
      ['orders', 0, id],
      [null, ErrorCode.UNKNOWN_TOPIC_ID, unknown],
    ]);
    // Version 11 has no null names.
    const old = await test.ask(3, 11, { topics: [{ name: null, topicId: unknown }] });
    expect(old.topics[0]).toMatchObject({ name: '', errorCode: ErrorCode.UNKNOWN_TOPIC_ID });
  });
});

describe('DescribeConfigs', () => {
  it('knows every setting of a topic, its source and its default', async () => {
    await test.broker.topics.create({ name: 'orders', configs: { 'retention.ms': '5' } });
    const body = await test.ask(32, 4, {
      includeSynonyms: true,
      resources: [
        { resourceType: 2, resourceName: 'orders', configurationKeys: ['retention.ms', 'segment.bytes'] },
        { resourceType: 2, resourceName: 'orders', configurationKeys: null },
        { resourceType: 2, resourceName: 'none', configurationKeys: null },
        { resourceType: 4, resourceName: '1', configurationKeys: ['num.partitions'] },
      ],
    });
    const [some, all, none, broker] = body.results;
    expect(some?.configs.map(({ name, value, configSource }) => [name, value, configSource])).toEqual([
      ['retention.ms', '5', 1],
      ['segment.bytes', '1073741824', 5],
    ]);
    expect(some?.configs[0]?.synonyms).toEqual([
      { name: 'retention.ms', value: '5', source: 1 },
      { name: 'log.retention.ms', value: '604800000', source: 5 },
    ]);
    expect(all?.configs.length).toBeGreaterThan(20);
    expect(none).toMatchObject({ errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, configs: [] });
    expect(broker?.configs).toEqual([expect.objectContaining({ name: 'num.partitions', value: '4', readOnly: true })]);
  });
});
