import type { Chunk, Commit, Lease, OffsetRange, Position } from './engine.ts';
import { KafkaCommits, type KafkaCommitsOptions } from './kafka-commits.ts';
import { KafkaReader, type KafkaReaderOptions } from './kafka-reader.ts';

export interface KafkaLeaseOptions extends Omit<KafkaCommitsOptions & KafkaReaderOptions, 'signal'> {
  partitions: number;
  epoch: number;
  position: Position | null;
  start: bigint;
}

/** A lease on one partition of a Kafka cluster. */
export class KafkaLease implements Lease {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly partitions: number;
  readonly epoch: number;
  readonly position: Position | null;
  readonly start: bigint;
  readonly signal: AbortSignal;
  readonly commits: KafkaCommits;
  readonly reader: KafkaReader;
  private readonly over = new AbortController();

  constructor(options: KafkaLeaseOptions) {
    const { signal } = this.over;
    this.topic = options.topic;
    this.topicId = options.topicId;
    this.partition = options.partition;
    this.partitions = options.partitions;
    this.epoch = options.epoch;
    this.position = options.position;
    this.start = options.start;
    this.signal = signal;
    this.commits = new KafkaCommits({ ...options, signal });
    this.reader = new KafkaReader({ ...options, signal });
  }

  /** Fences the lease: reads end, commits are refused. */
  end(): void {
    this.over.abort();
  }

  read(from: bigint, maxBytes: number): Promise<Chunk> {
    return this.reader.read(from, maxBytes);
  }

  lag(from: bigint): bigint {
    return this.reader.lag(from);
  }

  bounds(): { from: bigint; to: bigint } {
    return this.reader.bounds();
  }

  commit(commit: Commit): Promise<{ ranges: OffsetRange[] }> {
    return this.commits.commit(commit);
  }
}
