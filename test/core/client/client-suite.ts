import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../core/base/clock.ts';
import { nodeNetwork } from '../../../core/base/node-network.ts';
import { systemRandom } from '../../../core/base/random.ts';
import { partitionFor } from '../../../core/base/murmur2.ts';
import { Admin } from '../../../core/client/admin.ts';
import { Cluster } from '../../../core/client/cluster.ts';
import { type ConsumedRecord, consume, type ConsumeOptions } from '../../../core/client/consumer.ts';
import { consumeGroup, type ConsumeGroupOptions } from '../../../core/client/group-consumer.ts';
import { commitOffsets } from '../../../core/client/group-offsets.ts';
import { type OutgoingRecord, Producer } from '../../../core/client/producer.ts';
import { CODECS } from '../../../core/log/batch.ts';

export interface Server {
  bootstrap: string;
  stop(): Promise<void>;
}

const bytes = (text: string): Buffer => Buffer.from(text);
const record = (key: string | null, value: string): OutgoingRecord => ({
  key: key === null ? null : bytes(key),
  value: bytes(value),
});
const valuesOf = (records: readonly ConsumedRecord[]): string[] =>
  records.map(one => Buffer.from(one.value ?? []).toString());

/** What the client must do against any broker that speaks the protocol; one set of cases for ours and for Kafka's. */
export function clientSuite(name: string, start: () => Promise<Server>): void {
  describe(name, () => {
    let server: Server;
    let cluster: Cluster;
    let admin: Admin;
    let nextTopic = 1;
    const newCluster = (): Cluster =>
      new Cluster({ brokers: [server.bootstrap], network: nodeNetwork, clock: systemClock, random: systemRandom });

    beforeAll(async () => {
      server = await start();
      cluster = newCluster();
      admin = new Admin(cluster);
    }, 120_000);
    afterAll(async () => {
      await cluster?.close();
      await server?.stop();
    });

    async function newTopic(partitions = 1, configs: Record<string, string> = {}): Promise<string> {
      const topic = `client-${nextTopic++}`;
      await admin.topics.create({ name: topic, partitions, configs });
      return topic;
    }
    async function send(topic: string, records: OutgoingRecord[]): Promise<void> {
      const producer = new Producer(cluster);
      await producer.send(topic, records);
      await producer.close();
    }
    async function all(topic: string, options: Partial<ConsumeOptions> = {}): Promise<ConsumedRecord[]> {
      const reading = consume(cluster, { topic, from: 'earliest', exitAtEnd: true, ...options });
      return (await collect(reading)).flat();
    }
    async function groupRead(
      topic: string,
      group: string,
      options: Partial<ConsumeGroupOptions> = {},
    ): Promise<string[]> {
      const settings = { group, topics: [topic], from: 'earliest', exitAtEnd: true, ...options } as const;
      return valuesOf((await collect(consumeGroup(cluster, settings))).flat());
    }

    test('a record comes back with key, value, headers, timestamp and offset', async () => {
      const topic = await newTopic();
      const producer = new Producer(cluster);
      const headers = [
        ['tier', bytes('gold')],
        ['empty', null],
      ] as const;
      const [first, second] = await producer.send(topic, [
        { key: bytes('k'), value: bytes('v'), headers, timestamp: 1_700_000_000_123 },
        { key: null, value: null },
      ]);
      await producer.close();
      expect(first).toEqual({ partition: 0, offset: 0, timestamp: 1_700_000_000_123 });
      expect(second?.offset).toBe(1);
      const records = await all(topic);
      expect(records).toHaveLength(2);
      expect(records[0]).toMatchObject({ topic, partition: 0, offset: 0, timestamp: 1_700_000_000_123 });
      expect(records[0]?.key).toEqual(bytes('k'));
      expect(records[0]?.headers).toEqual([
        ['tier', bytes('gold')],
        ['empty', null],
      ]);
      expect([records[1]?.key, records[1]?.value]).toEqual([null, null]);
    });

    test.each(CODECS)('%s batches are written and read', async compression => {
      const topic = await newTopic();
      const producer = new Producer(cluster, { compression });
      const wanted = Array.from({ length: 300 }, (_, i) => `value ${i} `.repeat(9));
      await producer.send(
        topic,
        wanted.map(value => record(null, value)),
      );
      await producer.close();
      expect(valuesOf(await all(topic))).toEqual(wanted);
    });

    test("records with a key go to the partition of Java's client, those of one key in order", async () => {
      const topic = await newTopic(5);
      const producer = new Producer(cluster);
      const sent = Array.from({ length: 200 }, (_, i) => record(`key-${i % 20}`, String(i)));
      const places = await Promise.all(sent.map(one => producer.send(topic, [one])));
      await producer.close();
      places.forEach(([place], i) => expect(place?.partition).toBe(partitionFor(bytes(`key-${i % 20}`), 5)));
      const records = await all(topic);
      expect(records).toHaveLength(200);
      for (let key = 0; key < 20; key++) {
        const own = records.filter(one => Buffer.from(one.key ?? []).toString() === `key-${key}`);
        expect(valuesOf(own)).toEqual(sent.flatMap((_, i) => (i % 20 === key ? [String(i)] : [])));
      }
    });

    test('records without a key share a batch, and an own partition wins over the key', async () => {
      const topic = await newTopic(4);
      const producer = new Producer(cluster);
      const places = await producer.send(
        topic,
        Array.from({ length: 50 }, (_, i) => record(null, String(i))),
      );
      expect(new Set(places.map(one => one.partition)).size).toBe(1);
      const [own] = await producer.send(topic, [{ ...record('k', 'v'), partition: 3 }]);
      expect(own?.partition).toBe(3);
      await expect(producer.send(topic, [{ ...record('k', 'v'), partition: 4 }])).rejects.toMatchObject({
        code: 'UNKNOWN_PARTITION',
      });
      await producer.close();
    });

    test('a batch that the broker finds too large goes out in halves; a record that is too large is refused', async () => {
      const topic = await newTopic(1, { 'max.message.bytes': '20000' });
      const producer = new Producer(cluster);
      const wanted = Array.from({ length: 40 }, (_, i) => `${i} `.padEnd(1500, 'x'));
      const places = await producer.send(
        topic,
        wanted.map(value => record(null, value)),
      );
      expect(places.map(one => one.offset)).toEqual(wanted.map((_, i) => i));
      await expect(producer.send(topic, [record(null, 'y'.repeat(30_000))])).rejects.toMatchObject({
        code: 'MESSAGE_TOO_LARGE',
      });
      // The producer goes on after a refusal.
      await producer.send(topic, [record(null, 'last')]);
      await producer.close();
      expect(valuesOf(await all(topic))).toEqual([...wanted, 'last']);
    });

    test('a topic that is not there is created by sending to it, and not by reading it', async () => {
      const topic = `client-auto-${nextTopic++}`;
      await expect(all(topic)).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' });
      await send(topic, [record(null, 'first')]);
      expect(valuesOf(await all(topic))).toEqual(['first']);
    });

    test('closing waits for records whose topic is still being looked up', async () => {
      const topic = await newTopic();
      const other = newCluster();
      const producer = new Producer(other);
      let acknowledged = false;
      const sent = producer.send(topic, [record(null, 'first')]).then(() => (acknowledged = true));
      await producer.close();
      expect(acknowledged).toBe(true);
      await Promise.all([sent, other.close()]);
      expect(valuesOf(await all(topic))).toEqual(['first']);
    });

    test('reading begins at an offset, at a time, or at the end', async () => {
      const topic = await newTopic();
      await send(
        topic,
        Array.from({ length: 10 }, (_, i) => ({ ...record(null, String(i)), timestamp: 1000 + i })),
      );
      expect(valuesOf(await all(topic, { from: 7 }))).toEqual(['7', '8', '9']);
      expect(valuesOf(await all(topic, { from: { timestamp: 1005 } }))).toEqual(['5', '6', '7', '8', '9']);
      expect(await all(topic, { from: 'latest' })).toEqual([]);
      expect(await all(topic, { from: { timestamp: 5000 } })).toEqual([]);
    });

    test('an offset beyond the log is refused, or left for the earliest when so asked', async () => {
      const topic = await newTopic();
      await send(topic, [record(null, 'only')]);
      await expect(all(topic, { from: 99, exitAtEnd: false })).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
      const records = consume(cluster, { topic, from: 99, onGap: 'earliest' });
      expect(valuesOf((await records.next()).value ?? [])).toEqual(['only']);
      await records.return();
    });

    test('what is written while a reader waits reaches it, until it is told to stop', async () => {
      const topic = await newTopic(2);
      const stop = new AbortController();
      const seen: string[] = [];
      const reading = (async () => {
        for await (const records of consume(cluster, { topic, from: 'earliest', signal: stop.signal })) {
          seen.push(...valuesOf(records));
          if (seen.length === 6) stop.abort();
        }
      })();
      for (let i = 0; i < 6; i++) await send(topic, [{ ...record(null, String(i)), partition: i % 2 }]);
      await reading;
      expect(seen.toSorted()).toEqual(['0', '1', '2', '3', '4', '5']);
    });

    test('a group reads everything once and goes on where it ended', async () => {
      const topic = await newTopic(3);
      await send(
        topic,
        Array.from({ length: 30 }, (_, i) => record(`k${i}`, String(i))),
      );
      const group = `${topic}-group`;
      expect((await groupRead(topic, group)).map(Number).toSorted((a, b) => a - b)).toEqual([...Array(30).keys()]);
      expect(await groupRead(topic, group)).toEqual([]);
      await send(topic, [record('k', 'more')]);
      expect(await groupRead(topic, group)).toEqual(['more']);
    });

    test('a second member takes over half of the partitions, and gives them back when it leaves', async () => {
      const topic = await newTopic(4);
      const group = `${topic}-group`;
      await send(
        topic,
        [0, 1, 2, 3].map(partition => ({ ...record(null, `a${partition}`), partition })),
      );
      const read = (stop: AbortController, seen: ConsumedRecord[], other: Cluster): Promise<void> =>
        (async () => {
          const options = { group, topics: [topic], heartbeatMs: 50, commitEveryMs: 0, from: 'earliest' } as const;
          for await (const records of consumeGroup(other, { ...options, signal: stop.signal })) seen.push(...records);
        })();
      const [stopA, stopB] = [new AbortController(), new AbortController()];
      const [seenA, seenB]: [ConsumedRecord[], ConsumedRecord[]] = [[], []];
      const second = newCluster();
      const a = read(stopA, seenA, cluster);
      await until(() => seenA.length === 4);
      const b = read(stopB, seenB, second);
      await until(async () => {
        const { members } = await admin.groups.describe(group);
        return members.length === 2 && members.every(one => one.partitions.length === 2);
      });
      await send(
        topic,
        [0, 1, 2, 3].map(partition => ({ ...record(null, `b${partition}`), partition })),
      );
      await until(() => seenA.length + seenB.length === 8);
      expect(seenB).toHaveLength(2);
      stopB.abort();
      await b;
      await send(
        topic,
        [0, 1, 2, 3].map(partition => ({ ...record(null, `c${partition}`), partition })),
      );
      await until(() => seenA.length === 10);
      stopA.abort();
      await Promise.all([a, second.close()]);
      const seen = valuesOf([...seenA, ...seenB]).toSorted();
      expect(seen).toEqual(['a', 'b', 'c'].flatMap(wave => [0, 1, 2, 3].map(partition => `${wave}${partition}`)));
    });

    test('a group is listed and described with its lag, its metadata survives, and it can be deleted', async () => {
      const topic = await newTopic(2);
      const group = `${topic}-group`;
      await send(
        topic,
        [0, 0, 0, 1].map(partition => ({ ...record(null, 'x'), partition })),
      );
      await commitOffsets(cluster, group, null, [{ topic, partition: 0, offset: 1, metadata: 'v1:état' }]);
      const described = await admin.groups.describe(group);
      expect(described).toMatchObject({ group, state: 'Empty', members: [] });
      expect(described.positions).toEqual([
        { topic, partition: 0, committed: 1, metadata: 'v1:état', end: 3, lag: 2, memberId: null },
      ]);
      expect((await admin.groups.list()).map(one => one.group)).toContain(group);
      await admin.groups.delete(group);
      expect((await admin.groups.list()).map(one => one.group)).not.toContain(group);
      await expect(admin.groups.describe(group)).rejects.toMatchObject({ code: 'GROUP_ID_NOT_FOUND' });
    });

    test('a topic is described with its offsets and settings, cannot be made twice, and is gone when deleted', async () => {
      const topic = await newTopic(2, { 'retention.ms': '86400000' });
      await send(topic, [{ ...record(null, 'x'), partition: 1 }]);
      const described = await admin.topics.describe(topic);
      expect(described.topicId).toMatch(/^[0-9a-f]{32}$/);
      expect(described.partitions.map(one => [one.partition, one.startOffset, one.endOffset])).toEqual([
        [0, 0, 0],
        [1, 0, 1],
      ]);
      expect(described.configs.find(one => one.name === 'retention.ms')).toMatchObject({
        value: '86400000',
        isDefault: false,
      });
      await expect(admin.topics.create({ name: topic })).rejects.toMatchObject({
        kind: 'conflict',
        code: 'TOPIC_ALREADY_EXISTS',
      });
      await expect(admin.topics.create({ name: 'no/slash' })).rejects.toMatchObject({
        code: 'INVALID_TOPIC_EXCEPTION',
      });
      expect((await admin.topics.list()).map(one => one.name)).toContain(topic);
      await admin.topics.delete(topic);
      expect((await admin.topics.list()).map(one => one.name)).not.toContain(topic);
      await expect(admin.topics.delete(topic)).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' });
    });
  });
}

async function collect<T>(from: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of from) all.push(one);
  return all;
}

/** Waits for a state of the server or of a reader; the test's own timeout is the limit. */
export async function until(reached: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await reached())) await new Promise(resolve => setTimeout(resolve, 10));
}
