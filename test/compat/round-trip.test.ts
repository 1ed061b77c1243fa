/** Every client reads what every client wrote, byte for byte: keys, values, headers, nulls, timestamps, offsets. */
import { beforeAll, describe, expect, test } from 'vitest';
import { allClients, createTopic } from './clients/all.ts';
import { fits, type ReadRecord, type WriteRecord } from './clients/client.ts';

const T0 = 1_700_000_000_000;
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');

const corpus: WriteRecord[] = [
  { key: Buffer.from('k'), value: Buffer.from('v'), headers: [] },
  { key: null, value: Buffer.from('no key'), headers: [] },
  { key: Buffer.from('tombstone'), value: null, headers: [] },
  { key: null, value: null, headers: [] },
  { key: Buffer.alloc(0), value: Buffer.alloc(0), headers: [] },
  { key: bytes('00ff80fe0a0d2c'), value: bytes('ff00fffe800a0d00'), headers: [] },
  { key: Buffer.from('schlüssel'), value: Buffer.from('Wert — 値 🌊'), headers: [] },
  {
    key: Buffer.from('h'),
    value: Buffer.from('headers'),
    headers: [
      ['a', Buffer.from('1')],
      ['b', Buffer.from('2')],
    ],
  },
  { key: Buffer.from('h'), value: Buffer.from('binary header'), headers: [['x', bytes('00ff80')]] },
  { key: Buffer.from('h'), value: Buffer.from('empty header'), headers: [['empty', Buffer.alloc(0)]] },
  { key: Buffer.from('h'), value: Buffer.from('null header'), headers: [['null', null]] },
  {
    key: Buffer.from('h'),
    value: Buffer.from('twice'),
    headers: [
      ['same', Buffer.from('1')],
      ['same', Buffer.from('2')],
    ],
  },
  { key: Buffer.from('long'), value: Buffer.alloc(20_000, 'abcdefghij'), headers: [] },
].map((record, i) => ({ ...record, timestamp: T0 + i * 1000 }) as WriteRecord);

/** Text, so that a difference is readable in the report. */
const show = (data: Buffer | null): string | null => data?.toString('latin1') ?? null;
const form = (record: WriteRecord | ReadRecord, withTime: boolean): object => ({
  key: show(record.key),
  value: show(record.value),
  headers: record.headers.map(([name, value]) => [name, show(value)]),
  ...(withTime ? { timestamp: record.timestamp } : {}),
});

const clients = allClients();
const written = new Map(clients.map(writer => [writer.name, corpus.filter(record => fits(record, writer.write))]));
const topics = new Map<string, string>();

beforeAll(async () => {
  for (const writer of clients) {
    const topic = await createTopic('round-trip');
    topics.set(writer.name, topic);
    await writer.produce(topic, written.get(writer.name) ?? []);
  }
});

describe.each(clients)('$name reads, byte for byte,', reader => {
  let read = new Map<string, ReadRecord[]>();

  beforeAll(async () => {
    read = await reader.consume(
      clients.map(writer => ({ topic: topics.get(writer.name) ?? '', count: written.get(writer.name)?.length ?? 0 })),
    );
  });

  test.each(clients)(`what $name wrote`, writer => {
    const sent = written.get(writer.name) ?? [];
    const got = read.get(topics.get(writer.name) ?? '') ?? [];
    expect(got.map(record => record.offset)).toEqual(sent.map((_, i) => i));
    const withTime = writer.write.noTimestamps !== true;
    const comparable = sent
      .map((record, i) => [record, got[i] as ReadRecord] as const)
      .filter(([one]) => fits(one, reader.read));
    expect(comparable.map(([, one]) => form(one, withTime))).toEqual(comparable.map(([one]) => form(one, withTime)));
    expect(comparable.length).toBeGreaterThan(5);
  });
});
