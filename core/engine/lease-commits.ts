import { MillstreamError } from '../base/errors.ts';
import type { MarkerNote } from '../broker/transactions/notes.ts';
import type { AppendedRange, TransactionOwner } from '../broker/transactions/owner.ts';
import type { Append, Commit, CommitLineage, OffsetRange } from './engine.ts';
import type { CommittedOffset, EngineHost } from './host.ts';
import { type LineageSource, lineageHeader } from './lineage.ts';
import { checkState } from './state.ts';

export interface LeaseCommitsOptions {
  host: EngineHost;
  group: string;
  topic: string;
  topicId: string;
  partition: number;
  /** Where a partition without a position begins. */
  start: bigint;
  /** Aborted when the lease is over. */
  signal: AbortSignal;
}

/**
 * The commits of one lease, in call order. What appends something is one transaction of the broker, all or nothing:
 * batches, dead letters, position and state (commits that overlap share one). A position alone needs none.
 */
export class LeaseCommits {
  private readonly options: LeaseCommitsOptions;
  private state: string | null = null;
  /** Where the commit called before ends. */
  private accounted: bigint;
  private owner: Promise<TransactionOwner> | null = null;
  /** Commits under way; those in a transaction among them. */
  private pending = 0;
  private inTransaction = 0;
  /** The first failure among commits under way: what was called behind it must not overtake it. */
  private broken: { error: unknown } | null = null;

  constructor(options: LeaseCommitsOptions) {
    this.options = options;
    this.accounted = options.start;
  }

  /** Fences whoever had this partition before and ends what it left open: readers would wait for it. What it had still
   * under way is decided then: resolves with the position from which to go on. */
  async takeOver(): Promise<CommittedOffset | null> {
    await this.own();
    return this.resume();
  }

  async commit(commit: Commit): Promise<{ ranges: OffsetRange[] }> {
    this.check(commit);
    const isTransaction = (commit.append?.length ?? 0) > 0 || this.inTransaction > 0;
    const state = commit.state ?? this.state;
    this.state = state;
    const lineage = commit.lineage ?? { from: this.accounted };
    this.accounted = commit.next;
    this.pending++;
    if (isTransaction) this.inTransaction++;
    try {
      return {
        ranges: isTransaction ? await this.transaction(commit, state, lineage) : await this.position(commit, state),
      };
    } catch (error) {
      this.broken ??= { error };
      throw error;
    } finally {
      this.pending--;
      if (isTransaction) this.inTransaction--;
      if (this.broken && this.pending === 0) this.mend();
    }
  }

  private check({ state }: Commit): void {
    const { host, group, topic, topicId, partition, signal } = this.options;
    if (!signal.aborted && host.topicInfo(topic)?.topicId !== topicId) {
      // A position now would be one of the next topic of that name.
      throw new MillstreamError('conflict', 'FENCED', `the topic ${topic} was deleted`);
    }
    if (signal.aborted) {
      throw new MillstreamError(
        'conflict',
        'FENCED',
        `partition ${topic}/${partition} went to another member of ${group}`,
      );
    }
    if (this.broken) throw this.broken.error;
    checkState(state);
  }

  private async transaction(
    { next, append = [] }: Commit,
    state: string | null,
    lineage: CommitLineage,
  ): Promise<OffsetRange[]> {
    const { group, topic, topicId, partition } = this.options;
    const positions = [{ topic, partition, offset: Number(next), metadata: state }];
    const owner = await this.own();
    if (this.broken) throw this.broken.error;
    const { ranges } = await owner.commit({
      appends: append,
      offsets: { group, positions },
      notes: appended => notesOf({ group, topic, topicId, partition }, lineage, next, append, appended),
    });
    return ranges.map(range => ({ ...range, from: BigInt(range.from), to: BigInt(range.to) }));
  }

  private async position({ next }: Commit, state: string | null): Promise<OffsetRange[]> {
    const { host, group, topic, partition } = this.options;
    await host.commitOffset(group, topic, partition, { offset: Number(next), metadata: state ?? '' });
    return [];
  }

  private own(): Promise<TransactionOwner> {
    if (this.owner) return this.owner;
    const { host, group, topicId, partition } = this.options;
    const owner = host.ownTransactions(`${group}.${topicId}-${partition}`);
    this.owner = owner;
    owner.catch(() => {
      // Tried again by the next commit.
      this.owner = null;
    });
    return owner;
  }

  /** After everything under way has settled and its callers have heard of it, commits may go on from the position. */
  private mend(): void {
    setImmediate(() => {
      if (this.pending > 0) return;
      this.broken = null;
      this.resume();
    });
  }

  private resume(): CommittedOffset | null {
    const { host, group, topic, partition, start } = this.options;
    const committed = host.committedOffset(group, topic, partition);
    this.state = committed?.metadata || null;
    this.accounted = committed ? BigInt(committed.offset) : start;
    return committed;
  }
}

/** One entry for each partition that something went to. `ranges` are those of `appends`, in their order. */
function notesOf(
  source: LineageSource,
  lineage: CommitLineage,
  next: bigint,
  appends: readonly Append[],
  ranges: readonly AppendedRange[],
): MarkerNote[] {
  const placed = ranges.flatMap((range, i) => {
    const { origins = null, isState = false } = appends[i] as Append;
    if (isState) return [];
    const map = origins && Buffer.from(origins.buffer, origins.byteOffset, origins.length).toString('base64');
    return [{ ...range, map }];
  });
  const partitions = Map.groupBy(placed, ({ topic, partition }) => `${topic}/${partition}`);
  return [...partitions.values()].flatMap(own => {
    const [first] = own;
    if (!first) return [];
    return { topic: first.topic, partition: first.partition, header: lineageHeader(source, lineage, next, own) };
  });
}
