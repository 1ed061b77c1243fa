import type { Cluster } from '../../core/client/cluster.ts';
import { type AppendedRange, TransactionalProducer } from '../../core/client/transactional-producer.ts';
import { bodySize, encodeBatch, type NewRecord } from '../../core/engine/records.ts';

/*
 * Replays are sent in transactions, under one transactional id for each pipeline. Whoever takes the id fences the command
 * that had it, and ends what that left open. Letters are chosen after that, against all that was ever committed, so no two
 * commands send the same one, and of a command that dies nothing remains but whole transactions.
 */
const idOf = (pipeline: string): string => `dead-letter-replay.${pipeline}`;

/** Small, so that what is told as sent is not far behind, and below the limit that brokers set for a batch. */
const MOST_BYTES = 512 * 1024;
const MOST_RECORDS = 1000;
/** A transaction takes milliseconds; one that is not ended in this time is given up by the broker. */
const TIMEOUT_MS = 30_000;

/** All replay topics have one partition. */
const PARTITION = 0;

export type SentRange = AppendedRange;

/** The one who may send replays of a pipeline, until another takes over. */
export class ReplaySender {
  private readonly producer: TransactionalProducer;
  private readonly gathered = new Map<string, NewRecord[]>();
  private records = 0;
  private bytes = 0;

  private constructor(producer: TransactionalProducer) {
    this.producer = producer;
  }

  /** Everybody before can send no more when it resolves. Waits for a broker until the signal is aborted. */
  static async take(cluster: Cluster, pipeline: string, signal: AbortSignal): Promise<ReplaySender> {
    const producer = new TransactionalProducer(cluster, { transactionalId: idOf(pipeline), timeoutMs: TIMEOUT_MS });
    await producer.take(signal);
    return new ReplaySender(producer);
  }

  /** Time to commit. */
  get isFull(): boolean {
    return this.records >= MOST_RECORDS || this.bytes >= MOST_BYTES;
  }

  add(topic: string, record: NewRecord): void {
    const own = this.gathered.get(topic);
    if (own) own.push(record);
    else this.gathered.set(topic, [record]);
    this.records++;
    this.bytes += bodySize(record);
  }

  /** Sends what was added, all or nothing; where it lies. Errors of `TransactionalProducer.commit`: kind `conflict`, code
   * FENCED when another has taken over. */
  async commit(signal: AbortSignal): Promise<SentRange[]> {
    const appends = Array.from(this.gathered, ([topic, records]) => ({
      topic,
      partition: PARTITION,
      batch: encodeBatch(records, { codec: 'zstd' }),
    }));
    this.gathered.clear();
    this.records = 0;
    this.bytes = 0;
    return appends.length === 0 ? [] : this.producer.commit({ appends }, signal);
  }
}
