/** Administration: topics, configs, groups and the cluster, with each client's own admin interface. */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { Admin } from '@platformatic/kafka';
import { eventually } from '../servers/process.ts';
import { requireTool } from '../servers/tools.ts';
import { Wire } from '../servers/wire.ts';
import { encodeBatch } from '../servers/wire-batch.ts';
import { createTopic, setOffset, unique } from './clients/all.ts';
import { runPython } from './clients/confluent.ts';
import { kafkajsFor } from './clients/kafkajs.ts';

const bootstrap = inject('bootstrap');

/** A topic with five records, and a group that has committed offset 3 of it and has no members. */
async function topicAndGroup(): Promise<{ topic: string; group: string }> {
  const topic = await createTopic('with-group');
  const wire = await Wire.connect(bootstrap);
  await wire.produce(topic, 0, encodeBatch({ values: Array.from({ length: 5 }, (_, i) => Buffer.from(`${i}`)) }));
  wire.close();
  const group = unique('idle');
  await setOffset(group, topic, 3);
  return { topic, group };
}

describe('kafkajs', () => {
  const admin = kafkajsFor(bootstrap).admin();
  beforeAll(() => admin.connect());
  afterAll(() => admin.disconnect());

  test('creates, lists, describes and deletes topics', async () => {
    const topic = unique('kafkajs-admin');
    expect(await admin.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: false })).toBe(true);
    const described = await eventually('the topic', async () => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      return topics[0]?.partitions.length === 3 ? topics[0] : undefined;
    });
    expect(new Set(described.partitions.map(partition => partition.partitionId))).toEqual(new Set([0, 1, 2]));
    expect(await admin.listTopics()).toContain(topic);
    // A topic that exists is not created again; kafkajs says so with false.
    expect(await admin.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: false })).toBe(false);
    await admin.deleteTopics({ topics: [topic] });
    await eventually('the end of the topic', async () => !(await admin.listTopics()).includes(topic) || undefined);
  });

  test('is refused a topic with a bad name or a bad number of partitions', async () => {
    const refused = async (topic: string, numPartitions: number): Promise<string> => {
      const error: unknown = await admin
        .createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: false })
        .then(
          () => null,
          (thrown: unknown) => thrown,
        );
      return ((error as { errors?: { type?: string }[] })?.errors?.[0]?.type ??
        (error as { type?: string })?.type) as string;
    };
    expect(await refused('not/a/name', 1)).toBe('INVALID_TOPIC_EXCEPTION');
    expect(await refused('x'.repeat(250), 1)).toBe('INVALID_TOPIC_EXCEPTION');
    expect(await refused(unique('zero'), 0)).toBe('INVALID_PARTITIONS');
  });

  test('reads the offsets of a topic, also by time', async () => {
    const { topic } = await topicAndGroup();
    expect(await admin.fetchTopicOffsets(topic)).toEqual([{ partition: 0, offset: '5', high: '5', low: '0' }]);
    const [future] = await admin.fetchTopicOffsetsByTimestamp(topic, Date.now() + 1_000_000);
    expect(future?.offset).toBe('5');
  });

  test('describes the cluster', async () => {
    const cluster = await admin.describeCluster();
    expect(cluster.brokers.map(broker => `${broker.host}:${broker.port}`)).toEqual([bootstrap]);
    expect(cluster.clusterId.length).toBeGreaterThan(0);
  });

  test('describes the configuration of a topic', async () => {
    const topic = await createTopic('configured', 1, { 'retention.ms': '123456' });
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: 2, name: topic }],
    });
    const value = resources[0]?.configEntries.find(entry => entry.configName === 'retention.ms');
    expect(value?.configValue).toBe('123456');
  });

  test('lists, describes and deletes groups', async () => {
    const { group } = await topicAndGroup();
    expect((await admin.listGroups()).groups.map(one => one.groupId)).toContain(group);
    const { groups } = await admin.describeGroups([group]);
    expect(groups[0]).toMatchObject({ errorCode: 0, groupId: group, state: 'Empty', members: [] });
    expect(await admin.deleteGroups([group])).toEqual([{ groupId: group, errorCode: 0 }]);
    expect((await admin.listGroups()).groups.map(one => one.groupId)).not.toContain(group);
  });
});

describe('@platformatic/kafka', () => {
  const admin = new Admin({ clientId: 'compat', bootstrapBrokers: [bootstrap], retries: 5, retryDelay: 100 });
  afterAll(() => admin.close());

  test('creates, lists, describes and deletes topics', async () => {
    const topic = unique('platformatic-admin');
    const [created] = await admin.createTopics({ topics: [topic], partitions: 3, replicas: 1 });
    expect(created).toMatchObject({ name: topic, partitions: 3, replicas: 1 });
    expect(await admin.listTopics()).toContain(topic);
    const metadata = await admin.metadata({ topics: [topic], forceUpdate: true });
    expect(metadata.topics.get(topic)?.partitionsCount).toBe(3);
    await admin.deleteTopics({ topics: [topic] });
    await eventually('the end of the topic', async () => !(await admin.listTopics()).includes(topic) || undefined);
  });

  test('lists and describes groups', async () => {
    const { group } = await topicAndGroup();
    expect([...(await admin.listGroups()).keys()]).toContain(group);
    expect((await admin.describeGroups({ groups: [group] })).get(group)).toMatchObject({ id: group, state: 'Empty' });
  });
});

const python = requireTool('confluent');
describe.skipIf(python === null)('confluent-kafka', () => {
  const call = <T>(...calls: unknown[][]): Promise<T> => runPython<T>(python ?? '', 'admin.py', { bootstrap, calls });

  test('creates, describes and deletes topics', async () => {
    const topic = unique('confluent-admin');
    const [created, again, bad] = await call<unknown[]>(
      ['create', topic, 3, { 'retention.ms': '5000' }],
      ['create', topic, 3, {}],
      ['create', 'not/a/name', 1, {}],
    );
    expect([created, again, bad]).toEqual(['created', { error: 'TOPIC_ALREADY_EXISTS' }, { error: 'TOPIC_EXCEPTION' }]);
    const [described, configs, cluster] = await call<[object, Record<string, string>, { nodes: number }]>(
      ['describe', topic],
      ['configs', topic],
      ['cluster'],
    );
    expect(Object.keys(described)).toHaveLength(3);
    expect(configs['retention.ms']).toBe('5000');
    expect(configs['cleanup.policy']).toBe('delete');
    expect(cluster.nodes).toBe(1);
    expect(await call(['delete', topic])).toEqual(['deleted']);
    expect(await call(['delete', topic])).toEqual([{ error: 'UNKNOWN_TOPIC_OR_PART' }]);
  });

  test('lists offsets and groups, describes and deletes a group', async () => {
    const { topic, group } = await topicAndGroup();
    const answers = await call<unknown[]>(
      ['offsets', topic],
      ['groups'],
      ['describe_group', group],
      ['group_offsets', group],
      ['delete_group', group],
      ['describe_group', group],
    );
    expect(answers[0]).toBe(5);
    expect(answers[1]).toContain(group);
    expect(answers[2]).toEqual({ state: 'EMPTY', members: 0 });
    expect(answers[3]).toEqual([[topic, 0, 3]]);
    expect(answers[4]).toBe('deleted');
  });
});

test('a client that asks for an unknown topic creates it, where the server allows that', async () => {
  const topic = unique('by-itself');
  const producer = kafkajsFor(bootstrap).producer({ allowAutoTopicCreation: true });
  await producer.connect();
  const [answer] = await producer.send({ topic, messages: [{ value: 'first' }] });
  await producer.disconnect();
  expect(answer).toMatchObject({ topicName: topic, errorCode: 0, baseOffset: '0' });
});
