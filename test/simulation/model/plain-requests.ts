import { turns } from '../life.ts';
import { type Batch, batchesOf } from '../checker/batches.ts';
import { BrokerAndModel, GROUP, PARTITIONS, TIMEOUT_MS } from './broker-and-model.ts';
import { LogModel } from './log-model.ts';

/** Requests outside of transactions: each asks both and compares; returns what was done, in short. */
export class PlainRequests extends BrokerAndModel {
  /** Markers are not waited for by whoever ends a transaction: they may still be under way. */
  protected settle(): Promise<void> {
    return turns(100);
  }

  protected async createTopic(name: string): Promise<string> {
    const topics = [{ name, numPartitions: PARTITIONS, replicationFactor: 1, assignments: [], configs: [] }];
    const { topics: answers } = await this.life.ask(19, 7, { topics, timeoutMs: 1000 });
    const expected = this.topics.has(name) ? 36 : 0;
    this.same(name, answers[0]?.errorCode, expected);
    if (expected === 0) this.topics.set(name, [new LogModel(), new LogModel()]);
    return `${name}, error ${expected}`;
  }

  protected async deleteTopic(name: string): Promise<string> {
    const { responses } = await this.life.ask(20, 5, { topicNames: [name], timeoutMs: 1000, topics: [] });
    const expected = this.topics.delete(name) ? 0 : 3;
    this.same(name, responses[0]?.errorCode, expected);
    // Positions on it go in the background.
    await turns(100);
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const key = `${name}/${partition}`;
      this.positions.delete(key);
      this.producer.next.delete(key);
      for (const client of this.clients) client.next.delete(key);
      for (const { positions } of this.transactions.values()) positions.delete(key);
    }
    return `${name}, error ${expected}`;
  }

  protected async producePlain(topic: string, partition: number): Promise<string> {
    const write = { producerId: -1, epoch: -1, sequence: -1, isTransactional: false, values: this.values() };
    return this.produce(topic, partition, write, null, 9, () => 0);
  }

  protected async produceIdempotent(topic: string, partition: number): Promise<string> {
    const { producer } = this;
    if (producer.producerId < 0) {
      const answer = await this.life.ask(22, 4, { transactionalId: null, transactionTimeoutMs: TIMEOUT_MS });
      producer.producerId = answer.producerId;
    }
    const key = `${topic}/${partition}`;
    const next = producer.next.get(key) ?? 0;
    const luck = this.random.float();
    const sequence = luck < 0.8 ? next : Math.max(0, next + this.below(6) - 4);
    const values = this.values();
    const write = { producerId: producer.producerId, epoch: 0, sequence, isTransactional: false, values };
    const said = await this.produce(topic, partition, write, null, 9, () => 0);
    if (said.endsWith('error 0') && sequence === next) producer.next.set(key, next + values.length);
    return said;
  }

  /** `from` null: from the log's start. */
  protected async fetch(topic: string, partition: number, from: number | null): Promise<string> {
    const log = this.logOf(topic, partition);
    const committedOnly = this.random.float() < 0.5;
    const fetched: string[] = [];
    await this.settle();
    const begin = from ?? log?.start ?? 0;
    for (let fetchOffset = begin; ; ) {
      const partitions = [{ partition, fetchOffset, partitionMaxBytes: this.below(2_000) }];
      const isolationLevel = committedOnly ? 1 : 0;
      const asked = { maxWaitMs: 0, minBytes: 0, maxBytes: 1e6, isolationLevel, topics: [{ topic, partitions }] };
      const answer = (await this.life.ask(1, 11, asked)).responses[0]?.partitions[0];
      const expected = !log ? 3 : log.isInRange(fetchOffset) ? 0 : 1;
      this.same(`fetch of ${topic}-${partition} at ${fetchOffset}`, answer?.errorCode, expected);
      if (!log || !answer || expected !== 0) return `${topic}-${partition} at ${begin}, error ${expected}`;
      this.same('high watermark', answer.highWatermark, log.end);
      this.same('last stable offset', answer.lastStableOffset, log.stable);
      this.same('log start', answer.logStartOffset, log.start);
      const batches = batchesOf(answer.records ?? new Uint8Array());
      fetched.push(...visible(batches, committedOnly ? (answer.abortedTransactions ?? []) : [], fetchOffset));
      const last = batches.at(-1)?.last;
      if (last === undefined) break;
      fetchOffset = last + 1;
    }
    this.same('records', fetched.join(), (log?.read(begin, committedOnly) ?? []).join());
    return `${topic}-${partition} at ${begin}, ${fetched.length} records, error 0`;
  }

  protected async listOffsets(topic: string, partition: number): Promise<string> {
    const log = this.logOf(topic, partition);
    const committedOnly = this.random.float() < 0.5;
    await this.settle();
    for (const timestamp of [-1, -2]) {
      const partitions = [{ partitionIndex: partition, currentLeaderEpoch: -1, timestamp }];
      const asked = { replicaId: -1, isolationLevel: committedOnly ? 1 : 0, topics: [{ name: topic, partitions }] };
      const answer = (await this.life.ask(2, 5, asked)).topics[0]?.partitions[0];
      this.same('error', answer?.errorCode, log ? 0 : 3);
      if (!log) return `${topic}, error 3`;
      const end = committedOnly ? log.stable : log.end;
      this.same('offset', answer?.offset, timestamp === -1 ? end : log.start);
    }
    return `${topic}-${partition}, error 0`;
  }

  protected async deleteRecords(topic: string, partitionIndex: number): Promise<string> {
    await this.settle();
    const offset = this.below(40) - 1;
    const topics = [{ name: topic, partitions: [{ partitionIndex, offset }] }];
    const answer = (await this.life.ask(21, 2, { topics, timeoutMs: 1000 })).topics[0]?.partitions[0];
    const log = this.logOf(topic, partitionIndex);
    const expected = log?.deleteBefore(offset) ?? { errorCode: 3, start: -1 };
    this.same(`${topic}-${partitionIndex}`, answer?.errorCode, expected.errorCode);
    this.same('low watermark', answer?.lowWatermark, expected.start);
    return `${topic}-${partitionIndex} below ${offset}, error ${expected.errorCode}`;
  }

  protected async commitOffset(topic: string, partitionIndex: number): Promise<string> {
    const committedOffset = this.below(100);
    const topics = [{ name: topic, partitions: [{ partitionIndex, committedOffset, committedMetadata: '' }] }];
    const answer = await this.life.ask(8, 7, { groupId: GROUP, memberId: '', topics });
    const expected = this.topics.has(topic) ? 0 : 3;
    this.same(topic, answer.topics[0]?.partitions[0]?.errorCode, expected);
    if (expected === 0) this.positions.set(`${topic}/${partitionIndex}`, this.positionOf(committedOffset));
    return `${topic}-${partitionIndex} to ${committedOffset}, error ${expected}`;
  }

  protected async fetchOffset(topic: string, partition: number): Promise<string> {
    const requireStable = this.random.float() < 0.5;
    const topics = [{ name: topic, partitionIndexes: [partition] }];
    const answer = await this.life.ask(9, 7, { groupId: GROUP, topics, groups: [], requireStable });
    const found = answer.topics[0]?.partitions[0];
    const key = `${topic}/${partition}`;
    const isOpen = [...this.transactions.values()].some(({ positions }) => positions.has(key));
    const errorCode = requireStable && isOpen ? 88 : 0;
    this.same('error', found?.errorCode, errorCode);
    const offset = errorCode === 0 ? (this.positions.get(key)?.offset ?? -1) : -1;
    this.same('offset', found?.committedOffset, offset);
    return `${topic}-${partition} is at ${offset}, error ${errorCode}`;
  }
}

/** What a client shows of fetched batches (KIP-98). */
function visible(
  batches: readonly Batch[],
  aborted: readonly { producerId: number; firstOffset: number }[],
  from: number,
): string[] {
  const upcoming = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset);
  const hidden = new Set<number>();
  return batches.flatMap(({ last, marker, producerId, isTransactional, records }) => {
    while (upcoming[0] && upcoming[0].firstOffset <= last) hidden.add(upcoming.shift()?.producerId ?? -1);
    if (marker === 'abort') hidden.delete(producerId);
    if (isTransactional && hidden.has(producerId)) return [];
    return records.filter(({ offset }) => offset >= from).map(({ offset, value }) => `${offset} ${value}`);
  });
}
