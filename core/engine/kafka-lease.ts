import { sleep } from '../base/clock.ts';
import { type CommittedOffset, committedOffsets } from '../client/group-offsets.ts';
import { listOffsets } from '../client/list-offsets.ts';
import { keyOf } from '../client/topic-partition.ts';
import type { Chunk, Commit, Lease, OffsetRange, Peer, Position } from './engine.ts';
import { KafkaCommits, type KafkaCommitsOptions } from './kafka-commits.ts';
import { KafkaReader, type KafkaReaderOptions } from './kafka-reader.ts';
import { unknownPartition } from './state.ts';

const RECALL_BYTES = 1024 * 1024;
const MARKER_MS = 20;

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

  async recall(topic: string): Promise<Uint8Array[]> {
    const { cluster, reads, partition } = this.options;
    await this.commits.settled();
    const { topics } = await cluster.retrying(() => cluster.metadata([topic]), this.signal);
    const topicId = topics[0]?.topicId;
    const one = { topic, partition };
    if (topicId === undefined || !topics[0]?.partitions[partition]) throw unknownPartition(topic, partition);
    const end = async (isolation: 'read_committed' | 'read_uncommitted'): Promise<number> =>
      (await listOffsets(cluster, [one], 'latest', isolation, { signal: this.signal })).get(keyOf(one)) ?? 0;
    // The cluster answers a commit before its marker is written.
    const last = await end('read_uncommitted');
    while ((await end('read_committed')) < last) await sleep(cluster.clock, MARKER_MS, this.signal);
    const first = await listOffsets(cluster, [one], 'earliest', 'read_committed', { signal: this.signal });
    const found: Uint8Array[] = [];
    for (let at = first.get(keyOf(one)) ?? 0; at < last; ) {
      const read = { ...one, topicId, from: at, maxBytes: RECALL_BYTES, signal: this.signal, onBounds: () => {} };
      const part = await reads.read(read);
      if (!part) break;
      found.push(...part.batches.map(batch => batch.bytes));
      at = part.next;
    }
    return found;
  }

  commit(commit: Commit): Promise<{ ranges: OffsetRange[] }> {
    return this.commits.commit(commit);
  }
}

export const positionOf = ({ offset, metadata }: CommittedOffset): Position => ({
  next: BigInt(offset),
  state: metadata || null,
});
