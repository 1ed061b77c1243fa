import { MillstreamError } from '../base/errors.ts';
import { committedBatches } from '../log/committed-batches.ts';
import type { Appended, PartitionLog } from '../log/log.ts';
import type { Chunk, Commit, Lease, OffsetRange, Position, TopicInfo } from './engine.ts';
import type { EngineHost } from './host.ts';

/** The longest state that every engine can keep: Kafka's limit is 4,096 characters of offset metadata. */
export const MAX_STATE_CHARACTERS = 3000;

export interface LeaseOptions {
  host: EngineHost;
  group: string;
  info: TopicInfo;
  partition: number;
  epoch: number;
  log: PartitionLog;
  start: 'earliest' | 'latest';
}

/**
 * A lease on one partition of our own broker. A commit has two dependent syncs: first the appended batches, all files
 * in parallel, then the position. The other way round a crash in between would lose records; this way it repeats some.
 */
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
  private state: string | null;
  /** Positions are committed in call order, each after its own and all earlier appends are durable. */
  private tail: Promise<void> = Promise.resolve();
  private pending = 0;
  private broken: unknown = null;

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
    this.state = committed && committed.metadata !== '' ? committed.metadata : null;
    this.position = committed && { next: BigInt(committed.offset), state: this.state };
    this.start = BigInt(committed?.offset ?? (options.start === 'latest' ? log.lastStableOffset : log.startOffset));
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
      const data = committedBatches(batches, log.abortedWithin(offset, nextOffset));
      if (data.length > 0) {
        return {
          batches: data,
          sizeBytes: data.reduce((sum, batch) => sum + batch.length, 0),
          next: BigInt(nextOffset),
        };
      }
      offset = nextOffset;
    }
    return { batches: [], sizeBytes: 0, next: from };
  }

  lag(from: bigint): bigint {
    const lag = BigInt(this.options.log.lastStableOffset) - from;
    return lag > 0n ? lag : 0n;
  }

  bounds(): { from: bigint; to: bigint } {
    const { log } = this.options;
    return { from: BigInt(log.startOffset), to: BigInt(log.lastStableOffset) };
  }

  commit(commit: Commit): Promise<{ ranges: OffsetRange[] }> {
    try {
      this.check(commit);
      const appended = this.append(commit);
      return this.inOrder(appended, commit);
    } catch (error) {
      // What was called before may still succeed; what was called after this must not overtake it.
      if (this.pending > 0) this.broken ??= error;
      return Promise.reject(error);
    }
  }

  private check(commit: Commit): void {
    const { group } = this.options;
    if (this.signal.aborted) throw fenced(group, this.topic, this.partition);
    if (this.broken !== null) throw this.broken;
    if (
      commit.state !== undefined &&
      (commit.state.length > MAX_STATE_CHARACTERS || /[^\x20-\x7e]/.test(commit.state))
    ) {
      throw new MillstreamError(
        'invalid',
        'STATE_TOO_LARGE',
        `a state is at most ${MAX_STATE_CHARACTERS} ASCII characters`,
      );
    }
  }

  private append(commit: Commit): { topic: string; partition: number; at: Appended }[] {
    return (commit.append ?? []).map(({ topic, partition, batch }) => ({
      topic,
      partition,
      at: this.options.host.appendBatch(topic, partition, batch),
    }));
  }

  private async inOrder(
    appended: { topic: string; partition: number; at: Appended }[],
    commit: Commit,
  ): Promise<{ ranges: OffsetRange[] }> {
    const { host, group } = this.options;
    const outputs = Promise.all(appended.map(({ at }) => at.durable));
    const earlier = this.tail;
    const mine = (async () => {
      await Promise.all([outputs, earlier]);
      if (this.broken !== null) throw this.broken;
      if (this.signal.aborted) throw fenced(group, this.topic, this.partition);
      if (commit.state !== undefined) this.state = commit.state;
      await host.commitOffset(group, this.topic, this.partition, {
        offset: Number(commit.next),
        metadata: this.state ?? '',
      });
    })();
    this.tail = mine;
    this.pending++;
    try {
      await mine;
    } catch (error) {
      this.broken ??= error;
      throw error;
    } finally {
      // Once everything that was called before the failure has settled, the owner may commit again from the position.
      if (--this.pending === 0) {
        this.broken = null;
        this.tail = Promise.resolve();
      }
    }
    return {
      ranges: appended.map(({ topic, partition, at }) => ({
        topic,
        partition,
        from: BigInt(at.baseOffset),
        to: BigInt(at.lastOffset + 1),
      })),
    };
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

/** The error of every call on a lease that is over. */
function fenced(group: string, topic: string, partition: number): MillstreamError {
  return new MillstreamError(
    'conflict',
    'FENCED',
    `partition ${topic}/${partition} went to another member of ${group}`,
  );
}
