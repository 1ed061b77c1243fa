import { sleep } from '../base/clock.ts';
import { ApiKey } from '../protocol/api.ts';
import { mayRetry } from './broker-error.ts';
import type { Cluster, Lane } from './cluster.ts';
import { type Ending, type Generation, Heartbeats } from './heartbeats.ts';
import { countPartitions, JoinAgain, type Joined, joinGroup } from './join-group.ts';
import type { TopicPartition } from './topic-partition.ts';

export interface GroupOptions {
  group: string;
  topics: readonly string[];
  /** A member that is silent this long is taken for dead. Default 30 s. */
  sessionTimeoutMs?: number;
  /** How long the members have to give their partitions back. Default 60 s. */
  rebalanceTimeoutMs?: number;
  /** Default 3 s. */
  heartbeatMs?: number;
  /** Makes this a static member (KIP-345): a restart within the session timeout keeps its partitions. */
  instanceId?: string;
}

export interface GroupHandler {
  /** These partitions are ours from now on. */
  assigned(partitions: readonly TopicPartition[], generation: Generation): Promise<void>;
  /** They are given back when this resolves; with `lost` they are somebody else's already and commits are refused. */
  revoked(partitions: readonly TopicPartition[], reason: 'rebalance' | 'leaving' | 'lost'): Promise<void>;
}

/** How often the leader looks whether topics have appeared or grown. */
const WATCH_TOPICS_MS = 10_000;

/** Membership in a consumer group (classic protocol, eager, range assignor). */
export class GroupMember {
  private readonly cluster: Cluster;
  private readonly options: Required<Omit<GroupOptions, 'instanceId'>> & { instanceId: string | null };
  private readonly handler: GroupHandler;
  private readonly lane: Lane;
  private memberId = '';

  constructor(cluster: Cluster, options: GroupOptions, handler: GroupHandler) {
    this.cluster = cluster;
    this.handler = handler;
    this.lane = cluster.newLane('group');
    this.options = {
      sessionTimeoutMs: 30_000,
      rebalanceTimeoutMs: 60_000,
      heartbeatMs: 3000,
      ...options,
      instanceId: options.instanceId ?? null,
    };
  }

  /** Stays in the group until the signal is aborted, then leaves it. Rejects when the group or the handler refuses. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        const joined = await this.join(signal);
        if (joined) await this.live(joined, signal);
      }
    } finally {
      await this.leave();
      this.cluster.closeLane(this.lane);
    }
  }

  /** One generation, from its assignment to its end. */
  private async live({ generation, assigned, partitionCounts }: Joined, signal: AbortSignal): Promise<void> {
    const { heartbeatMs: everyMs, sessionTimeoutMs } = this.options;
    const beats = new Heartbeats(this.cluster, generation, { lane: this.lane, everyMs, sessionTimeoutMs });
    const over = new AbortController();
    try {
      await this.handler.assigned(assigned, generation);
      const ending = await Promise.race([
        beats.ended,
        this.watchTopics(partitionCounts, over.signal),
        leaving(signal, over.signal),
      ]);
      if (ending.reason === 'failed') throw ending.error;
      if (ending.reason === 'lost') this.memberId = '';
      await this.handler.revoked(assigned, ending.reason);
    } finally {
      over.abort();
      beats.stop();
    }
  }

  private async join(signal: AbortSignal): Promise<Joined | null> {
    const { clock, logger } = this.cluster;
    // A join may wait for the other members: ending the connection is the only way out of it.
    const abort = (): void => this.cluster.closeLane(this.lane);
    signal.addEventListener('abort', abort, { once: true });
    try {
      for (let pauseMs = 100; !signal.aborted; ) {
        try {
          const joined = await joinGroup(this.cluster, { ...this.options, memberId: this.memberId, lane: this.lane });
          this.memberId = joined.generation.memberId;
          return joined;
        } catch (error) {
          if (signal.aborted) return null;
          if (error instanceof JoinAgain) {
            this.memberId = error.memberId;
            continue;
          }
          if (!mayRetry(error)) throw error;
          logger.debug('joining the group is tried again', { group: this.options.group, error });
          this.cluster.forgetCoordinator(this.options.group);
          await sleep(clock, pauseMs, signal);
          pauseMs = Math.min(2000, pauseMs * 2);
        }
      }
      return null;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** Only the leader knows what was assigned, so only it looks for new partitions. */
  private async watchTopics(counts: ReadonlyMap<string, number> | null, over: AbortSignal): Promise<Ending> {
    while (!over.aborted) {
      await sleep(this.cluster.clock, WATCH_TOPICS_MS, over);
      if (over.aborted || !counts) continue;
      // Whatever is wrong with the brokers, the heartbeats notice it.
      const now = await countPartitions(this.cluster, [...counts.keys()]).catch(() => counts);
      if ([...counts].some(([topic, count]) => now.get(topic) !== count)) return { reason: 'rebalance' };
    }
    return { reason: 'rebalance' };
  }

  /** Says good-bye so that the others need not wait for the session timeout; a static member stays enrolled. */
  private async leave(): Promise<void> {
    const { group, instanceId } = this.options;
    if (this.memberId === '' || instanceId !== null) return;
    const member = { memberId: this.memberId, groupInstanceId: null };
    const body = { groupId: group, memberId: this.memberId, members: [member] };
    this.memberId = '';
    await this.cluster.toCoordinator(group, ApiKey.LeaveGroup, body).catch((error: unknown) => {
      this.cluster.logger.debug('the group could not be left', { group, error });
    });
  }
}

/** Resolves when the signal is aborted; forgotten when `over` is. */
function leaving(signal: AbortSignal, over: AbortSignal): Promise<{ reason: 'leaving' }> {
  return new Promise(resolve => {
    if (signal.aborted) return resolve({ reason: 'leaving' });
    signal.addEventListener('abort', () => resolve({ reason: 'leaving' }), { once: true, signal: over });
  });
}
