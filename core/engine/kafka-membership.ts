import { sleep } from '../base/clock.ts';
import { asMillstreamError, MillstreamError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { BrokerError } from '../client/broker-error.ts';
import type { Cluster } from '../client/cluster.ts';
import { type GroupHandler, GroupMember } from '../client/group-member.ts';
import type { Generation } from '../client/heartbeats.ts';
import { PartitionReads } from '../client/partition-reads.ts';
import { keyOf, type TopicPartition } from '../client/topic-partition.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import type { LeaseHandler, Membership } from './engine.ts';
import type { CommitMembership } from './kafka-commits.ts';
import type { KafkaLease } from './kafka-lease.ts';
import { takePartitions } from './kafka-take.ts';
import { KafkaWatch } from './kafka-watch.ts';

export interface KafkaMembershipOptions {
  cluster: Cluster;
  logger: Logger;
  group: string;
  topics: readonly string[];
  on: LeaseHandler;
  start: 'earliest' | 'latest';
  exclusive: boolean;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  heartbeatMs: number;
}

/** First and longest pause before a membership that the cluster refused is tried again. */
const RETRY_MS = { from: 1000, to: 30_000 };

const REFUSED_MS = 200;

/** How long who leaves waits for the answers to its commits. */
const SETTLE_MS = 5000;

const TELL_EVERY_MS = 30_000;
/** Longer than any transaction of ours: the cluster has lost the end of one. */
const HANGING = "Kafka's tool kafka-transactions.sh finds transactions that hang (find-hanging) and ends them (abort)";

/** A member of a consumer group with its leases. Keeps what it has while the group rebalances (KIP-429). */
export class KafkaMembership implements Membership, GroupHandler, CommitMembership {
  readonly group: string;
  private readonly options: KafkaMembershipOptions;
  private readonly logger: Logger;
  private readonly member: GroupMember;
  private readonly reads: PartitionReads;
  private readonly watch: KafkaWatch;
  private readonly leases = new Map<string, KafkaLease>();
  private readonly stopping = new AbortController();
  /** Aborted when everything is lost; a new one for the next time. */
  private whole = new AbortController();
  private current: Generation | null = null;
  /** Callers that wait for the next generation, or for the loss of this one. */
  private settling: (() => void)[] = [];
  private readonly joined = Promise.withResolvers<void>();
  private hasJoined = false;
  private running: Promise<void> = Promise.resolve();

  constructor(options: KafkaMembershipOptions) {
    const { cluster, group, topics, exclusive, sessionTimeoutMs, rebalanceTimeoutMs, heartbeatMs } = options;
    this.options = options;
    this.group = group;
    this.logger = options.logger.with({ group });
    this.reads = new PartitionReads(cluster, { onMissing: () => this.watch.look() });
    this.watch = new KafkaWatch({
      cluster,
      logger: this.logger,
      leases: () => [...this.leases.values()],
      replaced: partitions => this.member.rejoin(partitions),
    });
    const timing = { sessionTimeoutMs, rebalanceTimeoutMs, heartbeatMs };
    this.member = new GroupMember(
      cluster,
      { group, topics, protocol: 'cooperative-sticky', exclusive, ...timing },
      this,
    );
  }

  /** Resolves when this member has its share. Rejects when the cluster or the handler refuses. */
  async start(): Promise<void> {
    this.running = this.run();
    void this.watch.run(this.stopping.signal);
    await this.joined.promise;
  }

  async leave(): Promise<void> {
    this.stopping.abort();
    await this.running;
    this.reads.close();
  }

  generation(): Generation | null {
    return this.current;
  }

  async refused(generation: Generation, errorCode: number, signal: AbortSignal): Promise<void> {
    // A newer generation, which this lease has outlived: try that.
    if (this.current !== generation || signal.aborted) return;
    const known = errorCode === ErrorCode.REBALANCE_IN_PROGRESS || errorCode === ErrorCode.ILLEGAL_GENERATION;
    const settled = new Promise<void>(resolve => this.settling.push(resolve));
    if (known) this.member.rejoin();
    else this.member.lose();
    // The group may be waiting for this very commit, in `revoked`: then it is tried again as it is.
    await Promise.race([settled, sleep(this.options.cluster.clock, REFUSED_MS, signal)]);
  }

  fenced(partition: TopicPartition): void {
    this.logger.warn('a partition was taken over by another owner', { ...partition });
    this.leases.get(keyOf(partition))?.end();
    this.member.rejoin([partition]);
  }

  begun(generation: Generation): void {
    this.current = generation;
    this.settle();
  }

  async assigned(partitions: readonly TopicPartition[], generation: Generation, isPending: boolean): Promise<void> {
    const { cluster, start, on } = this.options;
    // What is lost meanwhile is not taken, nor is anything by who leaves.
    const signal = AbortSignal.any([this.whole.signal, this.stopping.signal]);
    const { reads } = this;
    const options = { cluster, generation, membership: this, reads, start, signal, onWait: this.teller() };
    const taken = await takePartitions(partitions, options).catch((error: unknown) => {
      // What was lost meanwhile is revoked next; there is nothing to give to anybody.
      if (signal.aborted) return [];
      throw error;
    });
    await Promise.all(
      taken.map(async lease => {
        this.leases.set(keyOf(lease), lease);
        if (signal.aborted) lease.end();
        await on.assigned(lease).catch((error: unknown) => {
          lease.end();
          this.leases.delete(keyOf(lease));
          throw new HandlerError(error);
        });
      }),
    );
    if (isPending || this.stopping.signal.aborted) return;
    this.hasJoined = true;
    this.joined.resolve();
  }

  async revoked(partitions: readonly TopicPartition[], reason: 'rebalance' | 'leaving' | 'lost'): Promise<void> {
    if (reason === 'lost') this.lost();
    await Promise.all(partitions.map(one => this.revoke(one)));
    if (reason !== 'lost') return;
    this.current = null;
    this.whole = new AbortController();
  }

  lost(): void {
    this.whole.abort();
    for (const lease of this.leases.values()) lease.end();
    this.settle();
  }

  private async revoke(partition: TopicPartition): Promise<void> {
    const lease = this.leases.get(keyOf(partition));
    if (!lease) return;
    const { topic, partition: number } = lease;
    try {
      await this.options.on.revoked(lease);
      // A commit that nobody waits for would be refused only after the next owner has read the position. Who leaves while
      // the brokers are away does not learn what became of it.
      const { cluster, rebalanceTimeoutMs } = this.options;
      const limitMs = this.stopping.signal.aborted ? SETTLE_MS : rebalanceTimeoutMs;
      await Promise.race([lease.commits.settled(), sleep(cluster.clock, limitMs)]);
    } catch (error) {
      this.logger.error('a member failed to give up a partition', { topic, partition: number, error });
    } finally {
      lease.end();
      this.leases.delete(keyOf(partition));
    }
  }

  /** Says now and then why partitions cannot be taken over. */
  private teller(): (error: Error) => void {
    const { clock } = this.options.cluster;
    const since = clock.monotonic();
    let toldAt = since;
    return error => {
      const now = clock.monotonic();
      if (now - toldAt < TELL_EVERY_MS) return;
      toldAt = now;
      const waited_ms = Math.round(now - since);
      const isHeld = error instanceof BrokerError && error.errorCode === ErrorCode.UNSTABLE_OFFSET_COMMIT;
      const help = isHeld ? { help: HANGING } : {};
      this.logger.warn('partitions cannot be taken over yet', { reason: error.message, waited_ms, ...help });
    };
  }

  private settle(): void {
    for (const resolve of this.settling.splice(0)) resolve();
  }

  /** A member that the cluster refuses (rights, quotas) is tried again, one whose handler fails is not. */
  private async run(): Promise<void> {
    const { cluster } = this.options;
    for (let pauseMs = RETRY_MS.from; ; pauseMs = Math.min(RETRY_MS.to, pauseMs * 2)) {
      try {
        await this.member.run(this.stopping.signal);
        this.joined.reject(new MillstreamError('closed', 'CLOSED', `${this.group} was left while it was joined`));
        return;
      } catch (error) {
        await this.revoked([...this.leases.values()], 'lost');
        if (error instanceof HandlerError || !this.hasJoined) {
          const cause = error instanceof HandlerError ? error.cause : error;
          this.logger.error('the membership has ended', { error: cause });
          return this.joined.reject(asMillstreamError(cause));
        }
        this.logger.error('the cluster refuses this member; it joins again later', { error, pause_ms: pauseMs });
        await sleep(cluster.clock, pauseMs, this.stopping.signal);
      }
    }
  }
}

/** What the handler of leases threw, as opposed to what the cluster answered. */
class HandlerError extends Error {
  constructor(cause: unknown) {
    super('the handler failed', { cause });
  }
}
