import type { BatchOptions } from '../../../../core/log/record.ts';
import { batchOf, type TestBroker, valuesOf } from '../harness.ts';

/** A transactional producer that says exactly what it is told to, version by version. */
export class TransactionalClient {
  readonly id: string;
  producerId = -1;
  producerEpoch = -1;
  /** Offset of the first record of the last batch that was taken. */
  baseOffset = -1;
  private readonly test: Pick<TestBroker, 'ask'>;
  private readonly sequences = new Map<string, number>();

  constructor(test: Pick<TestBroker, 'ask'>, id: string) {
    this.test = test;
    this.id = id;
  }

  /** Another one that goes on where this one is, as a zombie or a retry does. */
  copy(): TransactionalClient {
    const copy = new TransactionalClient(this.test, this.id);
    copy.producerId = this.producerId;
    copy.producerEpoch = this.producerEpoch;
    for (const [key, next] of this.sequences) copy.sequences.set(key, next);
    return copy;
  }

  async init({ timeoutMs = 60_000, again = false, version = 4 } = {}): Promise<number> {
    const answer = await this.test.ask(22, version, {
      transactionalId: this.id,
      transactionTimeoutMs: timeoutMs,
      ...(again ? { producerId: this.producerId, producerEpoch: this.producerEpoch } : {}),
    });
    if (answer.errorCode === 0) this.take(answer.producerId, answer.producerEpoch);
    return answer.errorCode;
  }

  take(producerId: number, producerEpoch: number): void {
    this.producerId = producerId;
    this.producerEpoch = producerEpoch;
    this.sequences.clear();
  }

  async add(topic: string, ...partitions: number[]): Promise<number[]> {
    const answer = await this.test.ask(24, 3, {
      v3AndBelowTransactionalId: this.id,
      v3AndBelowProducerId: this.producerId,
      v3AndBelowProducerEpoch: this.producerEpoch,
      v3AndBelowTopics: [{ name: topic, partitions }],
    });
    return answer.resultsByTopicV3AndBelow.flatMap(({ resultsByPartition }) =>
      resultsByPartition.map(({ partitionErrorCode }) => partitionErrorCode),
    );
  }

  /** Version 12 adds the partition by itself. */
  send(topic: string, index: number, values: string[], options: { version?: number } = {}): Promise<number> {
    return this.sendBatch(topic, index, values.length, batch => batchOf(values, batch), options);
  }

  /** A batch of `count` records that is encoded as this producer's next. */
  async sendBatch(
    topic: string,
    index: number,
    count: number,
    encode: (options: BatchOptions) => Uint8Array,
    { version = 9 } = {},
  ): Promise<number> {
    const key = `${topic}/${index}`;
    const baseSequence = this.sequences.get(key) ?? 0;
    const { producerId, producerEpoch } = this;
    const records = Buffer.from(encode({ producerId, producerEpoch, baseSequence, attributes: 0x10 }));
    const topicData = [{ name: topic, partitionData: [{ index, records }] }];
    const body = { transactionalId: this.id, acks: -1, timeoutMs: 1000, topicData };
    const answer = await this.test.ask(0, version, body);
    const { errorCode = -1, baseOffset = -1 } = answer.responses[0]?.partitionResponses[0] ?? {};
    if (errorCode !== 0) return errorCode;
    this.sequences.set(key, baseSequence + count);
    this.baseOffset = baseOffset;
    return 0;
  }

  async addOffsets(groupId: string): Promise<number> {
    const { id: transactionalId, producerId, producerEpoch } = this;
    return (await this.test.ask(25, 3, { transactionalId, producerId, producerEpoch, groupId })).errorCode;
  }

  async commitOffset(groupId: string, topic: string, partition: number, offset: number, version = 3): Promise<number> {
    const partitions = [{ partitionIndex: partition, committedOffset: offset, committedMetadata: `at ${offset}` }];
    const { id: transactionalId, producerId, producerEpoch } = this;
    const body = { transactionalId, groupId, producerId, producerEpoch, topics: [{ name: topic, partitions }] };
    return (await this.test.ask(28, version, body)).topics[0]?.partitions[0]?.errorCode ?? -1;
  }

  /** Version 5 answers with the identity of the next transaction. */
  async end(committed: boolean, { version = 3 } = {}): Promise<number> {
    const { id: transactionalId, producerId, producerEpoch } = this;
    const answer = await this.test.ask(26, version, { transactionalId, producerId, producerEpoch, committed });
    if (version >= 5 && answer.errorCode === 0) this.take(answer.producerId, answer.producerEpoch);
    return answer.errorCode;
  }

  /** One whole transaction of version 1. */
  async transact(topic: string, index: number, values: string[], committed: boolean): Promise<number> {
    const [added = -1] = await this.add(topic, index);
    if (added !== 0) return added;
    const sent = await this.send(topic, index, values);
    return sent === 0 ? this.end(committed) : sent;
  }
}

/** What a reader of committed records sees, as a client filters it, and up to where. */
export async function readCommitted(
  test: TestBroker,
  topic: string,
  partition: number,
  partitionMaxBytes = 200,
): Promise<{ values: string[]; lastStableOffset: number; highWatermark: number }> {
  const values: string[] = [];
  let next = test.broker.log(topic, partition)?.startOffset ?? 0;
  for (;;) {
    const answer = await test.fetch(topic, partition, next, { isolationLevel: 1, partitionMaxBytes });
    const { lastStableOffset, highWatermark } = answer;
    const bytes = Buffer.from(answer.records ?? []);
    if (bytes.length === 0) return { values, lastStableOffset, highWatermark };
    const upcoming = [...(answer.abortedTransactions ?? [])].toSorted((a, b) => a.firstOffset - b.firstOffset);
    const hidden = new Set<number>();
    for (let at = 0; at < bytes.length; ) {
      const batch = bytes.subarray(at, at + bytes.readInt32BE(at + 8) + 12);
      const last = Number(batch.readBigInt64BE(0)) + batch.readInt32BE(23);
      const attributes = batch.readInt16BE(21);
      const producerId = Number(batch.readBigInt64BE(43));
      while (upcoming[0] && upcoming[0].firstOffset <= last) hidden.add(upcoming.shift()?.producerId ?? -1);
      // A control batch: only an abort marker ends what is hidden, and only an abort is hidden.
      if ((attributes & 0x20) !== 0) hidden.delete(producerId);
      else if ((attributes & 0x10) === 0 || !hidden.has(producerId)) values.push(...valuesOf(batch).map(([, v]) => v));
      next = last + 1;
      at += batch.length;
    }
  }
}
