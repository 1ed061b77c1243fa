/** Apache Kafka's own Java client, as a single source file that `java` compiles when it starts it. */
import { fileURLToPath } from 'node:url';
import { runOk } from '../../servers/process.ts';
import { type Client, CODECS } from './client.ts';
import { fromJson, type JsonRecord, toJson } from './confluent.ts';

export const file = (name: string): string => fileURLToPath(new URL(`../java/${name}`, import.meta.url));

/** A small heap, the simplest collector and only the first compiler: these programs live for a second or two. */
export const JVM = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
export const QUIET = `-Dlog4j2.configurationFile=${file('log4j2.xml')}`;

/** Runs a class of Kafka's tools, for example org.apache.kafka.tools.TopicCommand; gives what it printed. */
export async function runKafkaTool(classPath: string, name: string, args: string[], stdin = ''): Promise<string> {
  const ran = await runOk('java', [...JVM, QUIET, '-cp', classPath, name, ...args], { stdin });
  return ran.stdout.toString();
}

async function runRecords<T>(classPath: string, job: object): Promise<T> {
  const args = [...JVM, QUIET, '-cp', classPath, file('Records.java')];
  return JSON.parse((await runOk('java', args, { stdin: JSON.stringify(job) })).stdout.toString()) as T;
}

export function javaClient(classPath: string, bootstrap: string): Client {
  return {
    name: 'Java',
    write: {},
    read: {},
    codecs: CODECS,

    async produce(topic, records, { codec = 'none', idempotent = false, acks = -1 } = {}) {
      const config = {
        'compression.type': codec,
        'enable.idempotence': String(idempotent),
        acks: String(acks),
        'linger.ms': '5',
      };
      await runRecords(classPath, { do: 'produce', bootstrap, topic, config, records: records.map(toJson) });
    },

    async consume(topics) {
      const job = { do: 'consume', bootstrap, topics, config: {} };
      const read = await runRecords<Record<string, JsonRecord[]>>(classPath, job);
      return new Map(Object.entries(read).map(([topic, records]) => [topic, records.map(fromJson)]));
    },
  };
}
