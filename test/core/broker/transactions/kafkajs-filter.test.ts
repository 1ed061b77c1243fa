/**
 * kafkajs 2.2.4 takes at most one entry of the list of aborted transactions for each record that it goes through, so a
 * list with an entry that hides nothing makes it deliver aborted records. Its own filter judges what we answer.
 */
import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { seededRandom } from '../../../../core/base/random.ts';
import { TestBroker } from '../harness.ts';
import { TransactionalClient } from './client.ts';

interface Message {
  offset: string;
  key: Buffer;
  isControlRecord: boolean;
  batchContext: { producerId: string; inTransaction: boolean };
}
type Filter = (answer: {
  messages: Message[];
  abortedTransactions: { producerId: string; firstOffset: string }[];
}) => Message[];
const filter = createRequire(import.meta.url)('kafkajs/src/consumer/filterAbortedMessages.js') as Filter;

/** The records of an answer from `from` on, as kafkajs hands them to its filter. */
function messagesOf(bytes: Buffer, from: number): Message[] {
  const messages: Message[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readInt32BE(at + 8) + 12) {
    const base = Number(bytes.readBigInt64BE(at));
    const attributes = bytes.readInt16BE(at + 21);
    const isControlRecord = (attributes & 0x20) !== 0;
    // A marker's key: version, and 0 for an abort (its record: length, attributes, two deltas, length of the key).
    const key = isControlRecord ? Buffer.from(bytes.subarray(at + 66, at + 70)) : Buffer.from('key');
    const batchContext = {
      producerId: String(bytes.readBigInt64BE(at + 43)),
      inTransaction: (attributes & 0x10) !== 0,
    };
    for (let offset = base; offset <= base + bytes.readInt32BE(at + 23); offset++) {
      if (offset >= from) messages.push({ offset: String(offset), key, isControlRecord, batchContext });
    }
  }
  return messages;
}

/** The offsets that kafkajs delivers of one answer, and up to where it reaches. */
async function delivered(
  broker: TestBroker,
  from: number,
  maxBytes: number,
): Promise<{ offsets: number[]; to: number }> {
  const answer = await broker.fetch('orders', 0, from, { isolationLevel: 1, partitionMaxBytes: maxBytes });
  const messages = messagesOf(Buffer.from(answer.records ?? []), from);
  const abortedTransactions = (answer.abortedTransactions ?? []).map(({ producerId, firstOffset }) => ({
    producerId: String(producerId),
    firstOffset: String(firstOffset),
  }));
  const shown = filter({ messages, abortedTransactions }).filter(({ isControlRecord }) => !isControlRecord);
  return { offsets: shown.map(({ offset }) => Number(offset)), to: Number(messages.at(-1)?.offset ?? from - 1) + 1 };
}

test.each([1, 2, 3, 4, 5])('wherever a fetch begins, kafkajs delivers what was committed (seed %i)', async seed => {
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random.float() * limit);
  const broker = await TestBroker.open({ fsync: false });
  await broker.broker.topics.create({ name: 'orders', partitions: 1 });
  const committed: number[] = [];
  const clients = Array.from({ length: 5 }, (_, i) => new TransactionalClient(broker, `writer-${i}`));
  const open = new Map<TransactionalClient, number[]>();
  for (const client of clients) await client.init();
  const end = async (client: TransactionalClient, commits: boolean): Promise<void> => {
    expect(await client.end(commits)).toBe(0);
    if (commits) committed.push(...(open.get(client) ?? []));
    open.delete(client);
  };
  for (let turn = 0; turn < 120; turn++) {
    const client = clients[below(clients.length)] as TransactionalClient;
    const offsets = open.get(client);
    if (offsets && below(3) === 0) {
      await end(client, below(3) === 0);
      continue;
    }
    if (!offsets) await client.add('orders', 0);
    const values = Array.from({ length: 1 + below(3) }, (_, i) => `${turn}-${i}`);
    expect(await client.send('orders', 0, values)).toBe(0);
    open.set(client, [...(offsets ?? []), ...values.map((_, i) => client.baseOffset + i)]);
  }
  for (const client of open.keys()) await end(client, below(2) === 0);
  committed.sort((a, b) => a - b);

  const endOffset = broker.broker.log('orders', 0)?.endOffset ?? 0;
  for (let from = 0; from < endOffset; from++) {
    for (const maxBytes of [1, 300, 1_000_000]) {
      const { offsets, to } = await delivered(broker, from, maxBytes);
      expect(offsets, `from ${from}, ${maxBytes} bytes`).toEqual(
        committed.filter(offset => offset >= from && offset < to),
      );
    }
  }
  await broker.close();
});
