/** confluent-kafka (PyPI): the newest librdkafka, driven through the Python scripts beside this folder. */
import { fileURLToPath } from 'node:url';
import { runOk } from '../../servers/process.ts';
import { type Client, CODECS, type ReadRecord, type WriteRecord } from './client.ts';

export const script = (name: string): string => fileURLToPath(new URL(`../python/${name}`, import.meta.url));

export const encode = (data: Buffer | null): string | null => data?.toString('base64') ?? null;
export const decode = (text: string | null): Buffer | null => (text === null ? null : Buffer.from(text, 'base64'));

/** The JSON form in which records travel to and from the helper programs. */
export interface JsonRecord {
  partition: number;
  offset: number;
  timestamp: number;
  key: string | null;
  value: string | null;
  headers: [string, string | null][];
}

export const toJson = (record: WriteRecord): object => ({
  ...record,
  key: encode(record.key),
  value: encode(record.value),
  headers: record.headers.map(([name, value]) => [name, encode(value)]),
});

export const fromJson = (record: JsonRecord): ReadRecord => ({
  ...record,
  key: decode(record.key),
  value: decode(record.value),
  headers: record.headers.map(([name, value]) => [name, decode(value)]),
});

/** Runs a script with one JSON job on its input and gives its JSON answer. */
export async function runPython<T>(python: string, name: string, job: object, timeoutMs = 60_000): Promise<T> {
  const ran = await runOk(python, [script(name)], { stdin: JSON.stringify(job), timeoutMs });
  return JSON.parse(ran.stdout.toString()) as T;
}

export function confluentClient(python: string, bootstrap: string): Client {
  return {
    name: 'confluent-kafka',
    write: {},
    read: {},
    codecs: CODECS,

    async produce(topic, records, { codec = 'none', idempotent = false, acks = -1 } = {}) {
      const config = { 'compression.type': codec, 'enable.idempotence': idempotent, acks };
      await runPython(python, 'records.py', { do: 'produce', bootstrap, topic, config, records: records.map(toJson) });
    },

    async consume(topics) {
      const job = { do: 'consume', bootstrap, topics, config: {} };
      const read = await runPython<Record<string, JsonRecord[]>>(python, 'records.py', job);
      return new Map(Object.entries(read).map(([topic, records]) => [topic, records.map(fromJson)]));
    },
  };
}
