/** The command line tools that come with Apache Kafka, run against the server as their manual says. */
import { describe, expect, inject, test } from 'vitest';
import { requireTool } from '../servers/tools.ts';
import { createTopic, setOffset, unique } from './clients/all.ts';
import { runKafkaTool } from './clients/java.ts';
import { kafkajsFor } from './clients/kafkajs.ts';

const bootstrap = inject('bootstrap');
const classPath = requireTool('kafka');
/** `options` are separated by blanks; none of them holds one. */
const tool = (name: string, options: string, stdin?: string): Promise<string> =>
  runKafkaTool(
    classPath ?? '',
    `org.apache.kafka.tools.${name}`,
    ['--bootstrap-server', bootstrap, ...options.split(' ')],
    stdin,
  );

describe.skipIf(classPath === null)("Apache Kafka's", () => {
  test('ProducerPerformance writes and ConsumerPerformance reads as many records', async () => {
    const topic = await createTopic('performance', 2);
    const produced = await tool(
      'ProducerPerformance',
      `--topic ${topic} --num-records 20000 --record-size 100 --throughput -1 --command-property acks=all compression.type=lz4`,
    );
    expect(produced).toMatch(/^20000 records sent/m);
    const read = await tool(
      'ConsumerPerformance',
      `--topic ${topic} --num-records 20000 --hide-header --timeout 20000`,
    );
    // start, end, MB, MB/s, records, records/s, ...
    expect(Number(read.trim().split('\n').at(-1)?.split(', ')[4])).toBe(20_000);
  });

  test('console producer writes keys and headers that the console consumer reads', async () => {
    const topic = await createTopic('console');
    await tool(
      'ConsoleProducer',
      `--topic ${topic} --reader-property parse.key=true --reader-property parse.headers=true`,
      'a:1,b:2\tkey one\tvalue one\nc:3\tkey two\tvalue two\n',
    );
    const print = ['key', 'headers', 'offset'].map(what => `--formatter-property print.${what}=true`).join(' ');
    const read = await tool(
      'consumer.ConsoleConsumer',
      `--topic ${topic} --from-beginning --max-messages 2 --timeout-ms 20000 ${print}`,
    );
    expect(read.trim().split('\n')).toEqual([
      'Offset:0\ta:1,b:2\tkey one\tvalue one',
      'Offset:1\tc:3\tkey two\tvalue two',
    ]);
  });

  test('TopicCommand creates, lists, describes and deletes', async () => {
    const topic = unique('topic-command');
    await tool('TopicCommand', `--create --topic ${topic} --partitions 3 --config retention.ms=1000`);
    expect((await tool('TopicCommand', '--list')).split('\n')).toContain(topic);
    const described = await tool('TopicCommand', `--describe --topic ${topic}`);
    expect(described).toMatch(/PartitionCount: 3\s+ReplicationFactor: 1/);
    expect(described).toContain('retention.ms=1000');
    expect(described.match(/Partition: \d/g)).toHaveLength(3);
    await tool('TopicCommand', `--delete --topic ${topic}`);
    expect((await tool('TopicCommand', '--list')).split('\n')).not.toContain(topic);
  });

  test('GetOffsetShell and ConsumerGroupCommand show ends, positions and lag, and reset a group', async () => {
    const topic = await createTopic('lag');
    const group = unique('lag');
    const kafka = kafkajsFor(bootstrap);
    const producer = kafka.producer();
    await producer.connect();
    await producer.send({ topic, messages: Array.from({ length: 5 }, (_, i) => ({ value: `${i}` })) });
    await producer.disconnect();
    await setOffset(group, topic, 2);

    expect((await tool('GetOffsetShell', `--topic ${topic}`)).trim()).toBe(`${topic}:0:5`);
    const groupTool = (options: string) => tool('consumer.group.ConsumerGroupCommand', options);
    expect((await groupTool('--list')).split('\n').map(line => line.trim())).toContain(group);
    // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG
    expect(await groupTool(`--describe --group ${group}`)).toMatch(new RegExp(`${topic}\\s+0\\s+2\\s+5\\s+3\\s`));
    await groupTool(`--reset-offsets --to-earliest --topic ${topic} --group ${group} --execute`);
    expect(await groupTool(`--describe --group ${group}`)).toMatch(new RegExp(`${topic}\\s+0\\s+0\\s+5\\s+5\\s`));
  });
});
