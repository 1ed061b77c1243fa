import { MillstreamError } from '../base/errors.ts';
import { committedBatches } from '../log/committed-batches.ts';
import type { PartitionLog } from '../log/log.ts';
import type { Chunk, Commit, Lease, OffsetRange, Peer, Position, TopicInfo } from './engine.ts';
import type { CommittedOffset, EngineHost } from './host.ts';
import { LeaseCommits } from './lease-commits.ts';

export interface LeaseOptions {
  host: EngineHost;
  group: string;
  info: TopicInfo;
  partition: number;
  epoch: number;
  log: PartitionLog;
  start: 'earliest' | 'latest';
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
  private readonly over = new AbortController();
  private readonly options: LeaseOptions;
  private readonly commits: LeaseCommits;
  /** A range that was read and held only markers or aborted records: nobody waits for it. */
  private empty = { from: -1, to: -1 };

  constructor(options: LeaseOptions) {
    const { info, partition, log } = options;
    this.options = options;
    this.topic = info.name;
    this.topicId = info.topicId;
    this.partition = partition;
    this.partitions = info.partitions;
    this.epoch = options.epoch;
    this.signal = this.over.signal;
    const committed = options.host.committedOffset(options.group, info.name, partition);
    this.position = committed && positionOf(committed);
    const state = this.position?.state ?? null;
    this.start = BigInt(committed?.offset ?? (options.start === 'latest' ? log.lastStableOffset : log.startOffset));
    const { topic, topicId, signal, start } = this;
    this.commits = new LeaseCommits({ ...options, topic, topicId, partition, start, state, signal });
  }

  /** To be called once, before the lease is given to its member. */
  takeOver(): Promise<void> {
    return this.commits.takeOver();
  }

  /** Fences the lease: reads end, commits are refused. */
  end(): void {
    this.over.abort();
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
      this.empty = { from: this.empty.to === offset ? this.empty.from : offset, to: nextOffset };
      offset = nextOffset;
    }
    return { batches: [], sizeBytes: 0, next: from };
  }

  lag(from: bigint): bigint {
    const at = Number(from) === this.empty.from ? this.empty.to : Number(from);
    return BigInt(Math.max(0, this.options.log.lastStableOffset - at));
  }

  bounds(): { from: bigint; to: bigint } {
    const { log } = this.options;
    return { from: BigInt(log.startOffset), to: BigInt(log.lastStableOffset) };
  }

  async peers(): Promise<Peer[]> {
    const { host, group } = this.options;
    return host
      .committedOffsets(group)
      .map(({ topic, partition, committed }) => ({ topic, partition, position: positionOf(committed) }));
  }

  commit(commit: Commit): Promise<{ ranges: OffsetRange[] }> {
    return this.commits.commit(commit);
  }

  private advanceBeyond(offset: number): Promise<void> {
    const { log } = this.options;
    return new Promise(resolve => {
      const finish = (): void => {
        unsubscribe();
        this.signal.removeEventListener('abort', finish);
        resolve();
      };
      const unsubscribe = log.onStableAdvance(() => {
        if (log.lastStableOffset > offset) finish();
      });
      this.signal.addEventListener('abort', finish, { once: true });
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
