import type { Timer } from '../base/clock.ts';
import type { Codec } from '../log/batch.ts';
import { addSequence } from '../log/sequence.ts';
import { bodySize, encodeBatch, type NewRecord } from '../log/record.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import { retrying } from './back-off.ts';
import { BrokerError, refuse } from './broker-error.ts';
import type { Cluster } from './cluster.ts';
import type { ProduceCombiner } from './produce-combiner.ts';
import type { Produced } from './producer.ts';
import { endsIdentity, type ProducerIdentity } from './producer-identity.ts';

/** One `send`: settled when all of its records are. */
export interface Delivery {
  results: Produced[];
  left: number;
  resolve(results: Produced[]): void;
  reject(error: Error): void;
}

/** A record's place in its delivery. */
interface Slot {
  delivery: Delivery;
  index: number;
}

export interface QueueContext {
  cluster: Cluster;
  combiner: ProduceCombiner;
  codec: Codec;
  lingerMs: number;
  maxBatchBytes: number;
  deliveryTimeoutMs: number;
  /** Null: batches are not numbered. */
  identity(): Promise<ProducerIdentity | null>;
  dropIdentity(): void;
  settled(sizeBytes: number): void;
}

interface Batch {
  records: NewRecord[];
  slots: Slot[];
  sizeBytes: number;
}

/** Length, attributes, timestamp and offset delta of a record are at most this. */
const RECORD_OVERHEAD_BYTES = 22;

/** The batches of one partition: one under way, the next ones gathering records meanwhile. */
export class PartitionQueue {
  private readonly context: QueueContext;
  private readonly topic: string;
  private readonly partition: number;
  private readonly batches: Batch[] = [];
  private timer: Timer | null = null;
  private scheduled = false;
  private sending: Promise<void> | null = null;
  private identity: ProducerIdentity | null = null;
  private sequence = 0;

  constructor(context: QueueContext, topic: string, partition: number) {
    this.context = context;
    this.topic = topic;
    this.partition = partition;
  }

  /** Is there a batch that takes more records? */
  get gathering(): boolean {
    const last = this.batches.at(-1);
    return last !== undefined && last.sizeBytes < this.context.maxBatchBytes;
  }

  /** Returns the bytes that the record is counted as, until `settled` says that they are free. */
  add(record: NewRecord, slot: Slot): number {
    const sizeBytes = bodySize(record) + RECORD_OVERHEAD_BYTES;
    let batch = this.batches.at(-1);
    if (!batch || batch.sizeBytes + sizeBytes > this.context.maxBatchBytes) {
      batch = { records: [], slots: [], sizeBytes: 0 };
      this.batches.push(batch);
    }
    batch.records.push(record);
    batch.slots.push(slot);
    batch.sizeBytes += sizeBytes;
    this.schedule();
    return sizeBytes;
  }

  async flush(): Promise<void> {
    while (this.batches.length > 0 || this.sending) {
      if (!this.sending) this.start();
      await this.sending;
    }
  }

  private schedule(): void {
    if (this.sending || this.scheduled) return;
    const { lingerMs, cluster } = this.context;
    if (lingerMs > 0 && this.batches.length < 2) {
      this.timer ??= cluster.clock.setTimer(lingerMs, () => this.start());
      return;
    }
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.start();
    });
  }

  private start(): void {
    this.timer?.cancel();
    this.timer = null;
    if (this.sending || this.batches.length === 0) return;
    this.sending = this.drain().finally(() => {
      this.sending = null;
      if (this.batches.length > 0) this.schedule();
    });
  }

  private async drain(): Promise<void> {
    for (let batch = this.batches.shift(); batch; batch = this.batches.shift()) await this.deliver(batch);
  }

  private async deliver(batch: Batch): Promise<void> {
    try {
      const answer = await this.sendUntilAnswered(batch);
      batch.slots.forEach(({ delivery, index }, i) => {
        const timestamp = answer.logAppendTimeMs >= 0 ? answer.logAppendTimeMs : (batch.records[i]?.timestamp ?? -1);
        const offset = answer.baseOffset < 0 ? -1 : answer.baseOffset + i;
        delivery.results[index] = { partition: this.partition, offset, timestamp };
        if (--delivery.left === 0) delivery.resolve(delivery.results);
      });
    } catch (error) {
      if (this.splitTooLarge(batch, error)) return;
      if (endsIdentity(error)) this.context.dropIdentity();
      for (const { delivery } of batch.slots) delivery.reject(error as Error);
    }
    this.context.settled(batch.sizeBytes);
  }

  private async sendUntilAnswered(batch: Batch): Promise<{ baseOffset: number; logAppendTimeMs: number }> {
    const { cluster, combiner, codec, deliveryTimeoutMs } = this.context;
    const identity = await this.context.identity();
    if (identity !== this.identity) this.sequence = 0;
    this.identity = identity;
    const numbered = identity ? { ...identity, baseSequence: this.sequence } : {};
    // Encoded once: a batch that is sent again must be the same, or the broker cannot know it.
    const bytes = encodeBatch(batch.records, { codec, ...numbered });
    const where = `${this.topic}-${this.partition}`;
    const attempt = async (): Promise<{ baseOffset: number; logAppendTimeMs: number }> => {
      const leader = await cluster.leaderOf(this.topic, this.partition);
      const answer = await combiner.send(leader, this.topic, this.partition, bytes);
      if (answer.errorCode === ErrorCode.DUPLICATE_SEQUENCE_NUMBER) return { baseOffset: -1, logAppendTimeMs: -1 };
      refuse(answer.errorCode, where, answer.errorMessage);
      return answer;
    };
    const options = { ...cluster.backOff, forMs: deliveryTimeoutMs };
    const answer = await retrying(options, attempt, () => cluster.forgetTopic(this.topic));
    this.sequence = addSequence(this.sequence, batch.records.length);
    return answer;
  }

  /** Brokers limit the size of a batch; what is refused as too large goes out again in halves. */
  private splitTooLarge(batch: Batch, error: unknown): boolean {
    const tooLarge = error instanceof BrokerError && error.errorCode === ErrorCode.MESSAGE_TOO_LARGE;
    if (!tooLarge || batch.records.length < 2) return false;
    const middle = batch.records.length >> 1;
    const half = (from: number, to: number, sizeBytes: number): Batch => ({
      records: batch.records.slice(from, to),
      slots: batch.slots.slice(from, to),
      sizeBytes,
    });
    const firstBytes = batch.sizeBytes >> 1;
    this.batches.unshift(half(0, middle, firstBytes), half(middle, batch.records.length, batch.sizeBytes - firstBytes));
    return true;
  }
}
