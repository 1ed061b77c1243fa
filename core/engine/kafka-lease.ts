import { type CommittedOffset, committedOffsets } from '../client/group-offsets.ts';
import type { Chunk, Commit, Lease, OffsetRange, Peer, Position } from './engine.ts';
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
  private readonly options: KafkaLeaseOptions;
  private readonly over = new AbortController();

  constructor(options: KafkaLeaseOptions) {
    const { signal } = this.over;
    this.options = options;
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

  async peers(): Promise<Peer[]> {
    const { cluster, group } = this.options;
    await this.commits.settled();
    const found = await committedOffsets(cluster, group, null, { signal: this.signal });
    return Array.from(found.values(), one => ({
      topic: one.topic,
      partition: one.partition,
      position: positionOf(one),
    }));
  }

  commit(commit: Commit): Promise<{ ranges: OffsetRange[] }> {
    return this.commits.commit(commit);
  }
}

export const positionOf = ({ offset, metadata }: CommittedOffset): Position => ({
  next: BigInt(offset),
  state: metadata || null,
});
