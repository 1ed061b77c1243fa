/** Members of consumer groups, each client's own, in one form: what a member holds now and what it has read. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Consumer, MessagesStreamModes } from '@platformatic/kafka';
import { ended } from '../../servers/process.ts';
import { script } from './confluent.ts';
import { file, JVM, QUIET } from './java.ts';
import { kafkajsFor } from './kafkajs.ts';

export interface Member {
  /** The partitions that it holds now, sorted. */
  held: number[];
  /** Values in the order in which it read them; each is committed after it was read. */
  read: string[];
  /** Leaves the group in good order. */
  leave(): Promise<void>;
}

export type JoinGroup = (group: string, topic: string) => Promise<Member>;

export const joinWithKafkajs =
  (bootstrap: string): JoinGroup =>
  async (group, topic) => {
    const consumer = kafkajsFor(bootstrap).consumer({
      groupId: group,
      heartbeatInterval: 200,
      sessionTimeout: 10_000,
      maxWaitTimeInMs: 100,
    });
    const member: Member = { held: [], read: [], leave: () => consumer.disconnect() };
    consumer.on('consumer.group_join', event => {
      member.held = [...(event.payload.memberAssignment[topic] ?? [])].toSorted((a, b) => a - b);
    });
    consumer.on('consumer.rebalancing', () => {
      member.held = [];
    });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        member.read.push(message.value?.toString() ?? '');
        await consumer.commitOffsets([{ topic, partition, offset: String(Number(message.offset) + 1) }]);
      },
    });
    return member;
  };

export const joinWithPlatformatic =
  (bootstrap: string): JoinGroup =>
  async (group, topic) => {
    const consumer = new Consumer({
      clientId: 'compat',
      bootstrapBrokers: [bootstrap],
      groupId: group,
      heartbeatInterval: 200,
      sessionTimeout: 10_000,
      rebalanceTimeout: 10_000,
      maxWaitTime: 100,
      autocommit: false,
    });
    const member: Member = { held: [], read: [], leave: () => consumer.close(true) };
    const hold = (): void => {
      const own = (consumer.assignments ?? []).find(one => one.topic === topic);
      member.held = [...(own?.partitions ?? [])].toSorted((a, b) => a - b);
    };
    consumer.on('consumer:group:join', hold);
    consumer.on('consumer:group:rebalance', () => {
      member.held = [];
    });
    const stream = await consumer.consume({
      topics: [topic],
      mode: MessagesStreamModes.COMMITTED,
      fallbackMode: 'earliest',
    });
    hold();
    stream.on('data', message => {
      member.read.push(message.value.toString());
      void Promise.resolve(message.commit()).catch(() => {});
    });
    return member;
  };

/** A member in a process of its own that prints its events as JSON lines and leaves when its input ends. */
function joinWithProcess(command: string, args: string[]): Member {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const member: Member = {
    held: [],
    read: [],
    async leave() {
      child.stdin.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
      const code = await ended(child);
      clearTimeout(timer);
      if (code !== 0) throw new Error(`${command} ended with ${code}`);
    },
  };
  createInterface({ input: child.stdout }).on('line', line => {
    const event = JSON.parse(line) as { assigned?: number[]; record?: string };
    if (event.assigned !== undefined) member.held = event.assigned.toSorted((a, b) => a - b);
    if (event.record !== undefined) member.read.push(event.record);
  });
  return member;
}

export const joinWithConfluent =
  (python: string, bootstrap: string): JoinGroup =>
  (group, topic) =>
    Promise.resolve(
      joinWithProcess(python, [script('member.py'), JSON.stringify({ bootstrap, group, topic, config: {} })]),
    );

export const joinWithJava =
  (classPath: string, bootstrap: string): JoinGroup =>
  (group, topic) =>
    Promise.resolve(
      joinWithProcess('java', [...JVM, QUIET, '-cp', classPath, file('Member.java'), bootstrap, group, topic]),
    );
