import { MillstreamError } from '../base/errors.ts';
import { BrokerError } from '../client/broker-error.ts';
import type { Cluster } from '../client/cluster.ts';
import { commitOffsets, committedOffsets } from '../client/group-offsets.ts';
import type { Generation } from '../client/heartbeats.ts';
import { keyOf, type TopicPartition } from '../client/topic-partition.ts';
import type { TransactionalProducer } from '../client/transactional-producer.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import type { Commit, OffsetRange, Position } from './engine.ts';
import { checkState } from './state.ts';

/** What commits need of the membership that their lease belongs to. */
export interface CommitMembership {
  /** The generation that commits carry now. */
  generation(): Generation | null;
  /** The coordinator refused a commit of this generation: resolves when it is known what that means. */
  refused(generation: Generation, errorCode: number, signal: AbortSignal): Promise<void>;
  /** Another owner took the transactional id over: the lease ends and the partition is given back. */
  fenced(partition: TopicPartition): void;
}

export interface KafkaCommitsOptions extends TopicPartition {
  cluster: Cluster;
  group: string;
  membership: CommitMembership;
  producer: TransactionalProducer;
  /** As committed last. */
  position: Position | null;
  /** Aborted when the lease is over. */
  signal: AbortSignal;
  /** Monotonic milliseconds. */
  now(): number;
}

interface Waiting {
  commit: Commit;
  resolve(done: { ranges: OffsetRange[] }): void;
  reject(error: unknown): void;
}

/** The coordinator's words for "not in this generation". */
const NOT_NOW: ReadonlySet<number> = new Set([
  ErrorCode.ILLEGAL_GENERATION,
  ErrorCode.REBALANCE_IN_PROGRESS,
  ErrorCode.UNKNOWN_MEMBER_ID,
  ErrorCode.FENCED_INSTANCE_ID,
] satisfies number[]);

/**
 * The commits of one lease, in call order; those that come while one is under way are merged into the next. Without
 * appends one is a plain OffsetCommit, with appends a Kafka transaction; both carry generation and member id, so that
 * the coordinator refuses whoever lost the partition. One whose answer does not come is asked for again until it is
 * known or the lease is over: no caller hears "perhaps" and goes on.
 */
export class KafkaCommits {
  private readonly options: KafkaCommitsOptions;
  private waiting: Waiting[] = [];
  private running: Promise<void> | null = null;
  /** Since the last failure, until everybody who called before it has heard of it. */
  private broken: { error: unknown } | null = null;
  private committed: Position | null;
  /** False after a failure: the state is asked for before it is written again. */
  private isKnown = true;
  /** Monotonic time of the last commit. */
  committedAt: number;

  constructor(options: KafkaCommitsOptions) {
    this.options = options;
    this.committed = options.position;
    this.committedAt = options.now();
  }

  async commit(commit: Commit): Promise<{ ranges: OffsetRange[] }> {
    if (this.options.signal.aborted) throw this.fenced();
    if (this.broken) throw this.broken.error;
    checkState(commit.state);
    return new Promise((resolve, reject) => {
      this.waiting.push({ commit, resolve, reject });
      this.running ??= this.run().finally(() => {
        this.running = null;
      });
    });
  }

  /** The same position and state once more: Kafka forgets positions that nobody touches. */
  async touch(): Promise<void> {
    this.committedAt = this.options.now();
    if (this.committed && !this.running) await this.commit({ next: this.committed.next });
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.running;
  }

  private async run(): Promise<void> {
    // In a turn of its own, so that commits of one turn go together.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      const together = this.waiting;
      this.waiting = [];
      try {
        const ranges = await this.commitTogether(together.map(each => each.commit));
        together.forEach((each, i) => each.resolve({ ranges: ranges[i] ?? [] }));
      } catch (error) {
        this.isKnown = false;
        this.broken = { error };
        // What came meanwhile builds on what failed: it must not overtake it.
        for (const each of [...together, ...this.waiting.splice(0)]) each.reject(error);
        setImmediate(() => {
          this.broken = null;
        });
      }
    }
  }

  private async commitTogether(commits: readonly Commit[]): Promise<OffsetRange[][]> {
    const { next } = commits.at(-1) as Commit;
    const state = commits.findLast(each => each.state !== undefined)?.state ?? (await this.lastState());
    const ranges = await this.whileOwned(generation => this.write(commits, generation, { next, state }));
    this.committed = { next, state };
    this.isKnown = true;
    this.committedAt = this.options.now();
    return ranges;
  }

  /** Repeats what was refused because the group was between two generations; the lease's end makes it `conflict`. */
  private async whileOwned<T>(attempt: (generation: Generation) => Promise<T>): Promise<T> {
    const { membership, signal, topic, partition } = this.options;
    for (;;) {
      const generation = membership.generation();
      if (signal.aborted || !generation) throw this.fenced();
      try {
        return await untilAborted(attempt(generation), signal);
      } catch (error) {
        if (signal.aborted) throw this.fenced(error);
        if (error instanceof BrokerError && NOT_NOW.has(error.errorCode)) {
          await membership.refused(generation, error.errorCode, signal);
        } else {
          if (error instanceof MillstreamError && error.code === 'FENCED') membership.fenced({ topic, partition });
          throw error;
        }
      }
    }
  }

  private async write(
    commits: readonly Commit[],
    generation: Generation,
    position: Position,
  ): Promise<OffsetRange[][]> {
    const { cluster, group, topic, partition, producer, signal } = this.options;
    const offsets = [{ topic, partition, offset: Number(position.next), metadata: position.state ?? '' }];
    const appends = commits.flatMap(each => each.append ?? []);
    if (appends.length === 0) {
      await commitOffsets(cluster, group, generation, offsets, { signal, forMs: Number.POSITIVE_INFINITY });
      return [];
    }
    const written = (await producer.commit({ appends, positions: { generation, offsets } }, signal)).values();
    return commits.map(({ append = [] }) => append.map(() => toRange(written.next().value)));
  }

  private async lastState(): Promise<string | null> {
    if (this.isKnown) return this.committed?.state ?? null;
    const { cluster, group, topic, partition, signal } = this.options;
    const forMs = Number.POSITIVE_INFINITY;
    const found = await committedOffsets(cluster, group, [{ topic, partition }], { signal, forMs });
    return found.get(keyOf({ topic, partition }))?.metadata || null;
  }

  private fenced(cause?: unknown): MillstreamError {
    const { group, topic, partition } = this.options;
    const message = `partition ${topic}/${partition} went to another member of ${group}`;
    return new MillstreamError('conflict', 'FENCED', message, { cause });
  }
}

/** The lease may end while an answer is waited for: then nobody needs it any more. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function toRange(range: { topic: string; partition: number; from: number; to: number } | undefined): OffsetRange {
  if (!range) throw new MillstreamError('internal', 'INTERNAL', 'an append has no offsets');
  const { topic, partition, from, to } = range;
  return { topic, partition, from: BigInt(from), to: BigInt(to) };
}
