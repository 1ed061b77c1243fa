import { Bag } from '../base/bag.ts';
import { MillstreamError } from '../base/errors.ts';
import { committedBatches } from '../log/committed-batches.ts';
import type { PartitionLog } from '../log/log.ts';
import type { Chunk, Commit, Lease, OffsetRange, Peer, Position, TopicInfo } from './engine.ts';
import { EmptyRange } from './empty-range.ts';
import type { CommittedOffset, EngineHost } from './host.ts';
import { unknownPartition } from './state.ts';
import { LeaseCommits } from './lease-commits.ts';

const RECALL_BYTES = 1024 * 1024;

export interface LeaseOptions {
  host: EngineHost;
  group: string;
  info: TopicInfo;
  partition: number;
  epoch: number;
  log: PartitionLog;
  start: 'earliest' | 'latest';
  /** The commits of the whole group that are not decided, those of leases that are over among them. Never reject. */
  undecided: Bag<Promise<unknown>>;
}

/** A lease on one partition of our own broker. Reads end at the last stable offset. */
export class EmbeddedLease implements Lease {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly partitions: number;
  readonly epoch: number;
  readonly position: Position | null;
  readonly start: bigint;
  readonly signal: AbortSignal;
  private readonly over: AbortController;
  private readonly options: LeaseOptions;
  private readonly commits: LeaseCommits;
  private readonly empty = new EmptyRange();
  /** Reads that wait; told when the lease is over. */
  private readonly waits = new Bag<() => void>();

  /** Takes the partition over. What its last owner had still under way is decided before its position is read. */
  static async take(options: LeaseOptions): Promise<EmbeddedLease> {
    const { info, log } = options;
    const over = new AbortController();
    const begin = BigInt(options.start === 'latest' ? log.lastStableOffset : log.startOffset);
    const { name: topic, topicId } = info;
    const commits = new LeaseCommits({ ...options, topic, topicId, start: begin, signal: over.signal });
    const committed = await commits.takeOver();
    return new EmbeddedLease(options, over, commits, committed && positionOf(committed), begin);
  }

  private constructor(
    options: LeaseOptions,
    over: AbortController,
    commits: LeaseCommits,
    position: Position | null,
    begin: bigint,
  ) {
    const { info, partition } = options;
    this.options = options;
    this.over = over;
    this.commits = commits;
    this.topic = info.name;
    this.topicId = info.topicId;
    this.partition = partition;
    this.partitions = info.partitions;
    this.epoch = options.epoch;
    this.signal = over.signal;
    this.position = position;
    this.start = position?.next ?? begin;
  }

  /** Fences the lease: reads end, commits are refused. */
  end(): void {
    this.over.abort();
    for (const finish of this.waits.take()) finish();
  }

  async read(from: bigint, maxBytes: number): Promise<Chunk> {
    const { log } = this.options;
    let offset = Number(from);
    while (!this.signal.aborted) {
      if (offset < log.startOffset || offset > log.highWatermark) throw this.outOfRange(offset);
      // What lies above is not decided: an open transaction's records, or none.
      const stable = log.lastStableOffset;
      if (offset >= stable) {
        await this.advanceBeyond(offset);
        continue;
      }
      const { batches, nextOffset } = await log.read(offset, maxBytes, stable);
      // Deleted meanwhile, and with the records what says which of them were aborted.
      if (offset < log.startOffset) throw this.outOfRange(offset);
      const data = committedBatches(batches, log.abortedWithin(offset, nextOffset));
      if (data.length > 0) {
        return {
          batches: data,
          sizeBytes: data.reduce((sum, batch) => sum + batch.length, 0),
          next: BigInt(nextOffset),
        };
      }
      this.empty.add(offset, nextOffset);
      offset = nextOffset;
    }
    return { batches: [], sizeBytes: 0, next: from };
  }

  lag(from: bigint): bigint {
    return BigInt(Math.max(0, this.options.log.lastStableOffset - this.empty.behind(Number(from))));
  }

  bounds(): { from: bigint; to: bigint } {
    const { log } = this.options;
    return { from: BigInt(log.startOffset), to: BigInt(log.lastStableOffset) };
  }

  async peers(): Promise<Peer[]> {
    const { host, group, undecided } = this.options;
    await Promise.all(undecided.all);
    return host
      .committedOffsets(group)
      .map(({ topic, partition, committed }) => ({ topic, partition, position: positionOf(committed) }));
  }

  async recall(topic: string): Promise<Uint8Array[]> {
    const { host, partition, undecided } = this.options;
    await Promise.all(undecided.all);
    const log = host.partitionLog(topic, partition);
    if (!log) throw unknownPartition(topic, partition);
    // A commit that was answered has its marker. What lies above is a commit of ours that failed and is not ended yet.
    const stable = log.lastStableOffset;
    const found: Uint8Array[] = [];
    for (let at = log.startOffset; at < stable; ) {
      const { batches, nextOffset } = await log.read(at, RECALL_BYTES, stable);
      // The log's own buffers are used again.
      for (const batch of committedBatches(batches, log.abortedWithin(at, nextOffset))) found.push(Buffer.from(batch));
      at = Math.max(nextOffset, log.startOffset);
    }
    return found;
  }

  commit(commit: Commit): Promise<{ ranges: OffsetRange[] }> {
    const done = this.commits.commit(commit);
    const { undecided } = this.options;
    const decided: Promise<unknown> = done.catch(() => {}).finally(() => undecided.remove(decided));
    undecided.add(decided);
    return done;
  }

  private advanceBeyond(offset: number): Promise<void> {
    const { log } = this.options;
    return new Promise(resolve => {
      const finish = (): void => {
        unsubscribe();
        forget();
        resolve();
      };
      const unsubscribe = log.onStableAdvance(() => {
        if (log.lastStableOffset > offset) finish();
      });
      const forget = this.waits.add(finish);
      // It may have moved between the check and the subscription, or the lease may be over.
      if (log.lastStableOffset > offset || this.signal.aborted) finish();
    });
  }

  private outOfRange(offset: number): MillstreamError {
    const { log } = this.options;
    return new MillstreamError(
      'invalid',
      'OFFSET_OUT_OF_RANGE',
      `offset ${offset} of ${this.topic}/${this.partition} is outside [${log.startOffset}, ${log.highWatermark}]`,
    );
  }
}

const positionOf = ({ offset, metadata }: CommittedOffset): Position => ({
  next: BigInt(offset),
  state: metadata === '' ? null : metadata,
});
