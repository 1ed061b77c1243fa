import { sleep } from '../base/clock.ts';
import { ApiKey } from '../protocol/api.ts';
import { mayRetry } from './broker-error.ts';
import type { Cluster, Lane } from './cluster.ts';
import { type Ending, type Generation, Heartbeats } from './heartbeats.ts';
import { countPartitions, type GroupProtocol, JoinAgain, type Joined, joinGroup } from './join-group.ts';
import { keyOf, type TopicPartition } from './topic-partition.ts';

export interface GroupOptions {
  group: string;
  topics: readonly string[];
  /** A member that is silent this long is taken for dead. Default 30 s. */
  sessionTimeoutMs?: number;
  /** How long the members have to give their partitions back. Default 60 s. */
  rebalanceTimeoutMs?: number;
  /** Default 3 s. */
  heartbeatMs?: number;
  /** Default 'range'. */
  protocol?: GroupProtocol;
  /** One member has all partitions, the others stand by. Default false. */
  exclusive?: boolean;
  /** Makes this a static member (KIP-345): a restart within the session timeout keeps its partitions. */
  instanceId?: string;
}

export interface GroupHandler {
  /**
   * A generation has begun and these partitions are ours from now on, besides those that we keep. `isPending`: the
   * next generation follows at once, when others have given back what is to be ours.
   */
  assigned(partitions: readonly TopicPartition[], generation: Generation, isPending: boolean): Promise<void>;
  /** They are given back when this resolves; with `lost` they are somebody else's already and commits are refused. */
  revoked(partitions: readonly TopicPartition[], reason: 'rebalance' | 'leaving' | 'lost'): Promise<void>;
  /** A generation has begun: commits carry it from now on. Before anything of it is revoked or assigned. */
  begun?(generation: Generation): void;
  /** As soon as it is known that everything is lost; `revoked` follows when the handler has finished what it does. */
  lost?(): void;
}

/** How often the leader looks whether topics have appeared or grown. */
const WATCH_TOPICS_MS = 10_000;

/** Membership in a consumer group (classic protocol). */
export class GroupMember {
  private readonly cluster: Cluster;
  private readonly options: Required<Omit<GroupOptions, 'instanceId'>> & { instanceId: string | null };
  private readonly handler: GroupHandler;
  private readonly lane: Lane;
  private memberId = '';
  /** What the handler has, since this generation. */
  private owned: readonly TopicPartition[] = [];
  private ownedGeneration = -1;
  /** Ends the generation that is lived in; null between generations. */
  private interrupt: ((ending: Ending) => void) | null = null;
  private readonly giveUp = new Set<string>();
  /** The handler was told that everything is lost, and has not given it back yet. */
  private isLost = false;

  constructor(cluster: Cluster, options: GroupOptions, handler: GroupHandler) {
    this.cluster = cluster;
    this.handler = handler;
    this.lane = cluster.newLane('group');
    this.options = {
      sessionTimeoutMs: 30_000,
      rebalanceTimeoutMs: 60_000,
      heartbeatMs: 3000,
      protocol: 'range',
      exclusive: false,
      ...options,
      instanceId: options.instanceId ?? null,
    };
  }

  /** Stays in the group until the signal is aborted, then leaves it. Rejects when the group or the handler refuses. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        const joined = await this.join(signal);
        // Told between two generations, or while partitions were given back: what it had is no part of the next one.
        if (this.isLost) await this.revokeAll('lost');
        if (joined) await this.live(joined, signal);
      }
      if (this.owned.length > 0) await this.revokeAll('leaving');
    } finally {
      this.owned = [];
      await this.leave();
      this.cluster.closeLane(this.lane);
    }
  }

  /** Joins anew, without waiting for the coordinator to ask for it; `giveUp`: these are given back before. */
  rejoin(giveUp: readonly TopicPartition[] = []): void {
    for (const one of giveUp) this.giveUp.add(keyOf(one));
    this.interrupt?.({ reason: 'rebalance' });
  }

  /** A commit was answered with "unknown member": no need to wait for a heartbeat to say so. */
  lose(): void {
    this.tellLost();
    this.interrupt?.({ reason: 'lost' });
  }

  /** One generation, from its assignment to its end. */
  private async live(joined: Joined, signal: AbortSignal): Promise<void> {
    const { generation, assigned, partitionCounts, isPending } = joined;
    const { heartbeatMs: everyMs, sessionTimeoutMs } = this.options;
    const lost = (): void => this.tellLost();
    const beats = new Heartbeats(this.cluster, generation, { lane: this.lane, everyMs, sessionTimeoutMs, lost });
    const over = new AbortController();
    const interrupted = new Promise<Ending>(resolve => {
      this.interrupt = resolve;
    });
    try {
      this.handler.begun?.(generation);
      const removed = without(this.owned, assigned);
      if (removed.length > 0) await this.handler.revoked(removed, 'rebalance');
      const added = without(assigned, this.owned);
      this.owned = assigned;
      this.ownedGeneration = generation.generationId;
      await this.handler.assigned(added, generation, isPending);
      // The others wait for what was given back.
      if (removed.length > 0) return;
      if (this.giveUp.size > 0) return await this.end({ reason: 'rebalance' });
      const ending = await Promise.race([
        beats.ended,
        interrupted,
        this.watchTopics(partitionCounts, over.signal),
        leaving(signal, over.signal),
      ]);
      await this.end(ending);
    } finally {
      this.interrupt = null;
      over.abort();
      beats.stop();
    }
  }

  private async end(ending: Ending | { reason: 'leaving' }): Promise<void> {
    if (ending.reason === 'failed') throw ending.error;
    if (ending.reason === 'lost') this.memberId = '';
    if (ending.reason !== 'rebalance' || this.options.protocol === 'range') return this.revokeAll(ending.reason);
    const given = this.owned.filter(one => this.giveUp.has(keyOf(one)));
    this.giveUp.clear();
    if (given.length === 0) return;
    await this.handler.revoked(given, 'rebalance');
    this.owned = without(this.owned, given);
  }

  private async revokeAll(reason: 'rebalance' | 'leaving' | 'lost'): Promise<void> {
    const { owned } = this;
    this.owned = [];
    this.giveUp.clear();
    await this.handler.revoked(owned, reason);
    if (reason === 'lost') this.isLost = false;
  }

  private tellLost(): void {
    this.isLost = true;
    this.handler.lost?.();
  }

  /** The coordinator does not know us any more, or cannot be reached for so long that it will have forgotten us. */
  private async loseAll(): Promise<void> {
    this.memberId = '';
    if (this.owned.length === 0 && !this.isLost) return;
    this.tellLost();
    await this.revokeAll('lost');
  }

  private async join(signal: AbortSignal): Promise<Joined | null> {
    const { clock, logger } = this.cluster;
    // A join may wait for the other members: ending the connection is the only way out of it.
    const abort = (): void => this.cluster.closeLane(this.lane);
    signal.addEventListener('abort', abort, { once: true });
    const since = clock.monotonic();
    try {
      for (let pauseMs = 100; !signal.aborted; ) {
        const { memberId, lane, owned, ownedGeneration } = this;
        try {
          const request = { ...this.options, memberId, lane, owned, ownedGeneration };
          const joined = await joinGroup(this.cluster, request);
          this.memberId = joined.generation.memberId;
          return joined;
        } catch (error) {
          if (signal.aborted) return null;
          if (error instanceof JoinAgain) {
            if (error.memberId === '') await this.loseAll();
            this.memberId = error.memberId;
            continue;
          }
          if (!mayRetry(error)) throw error;
          if (clock.monotonic() - since > this.options.sessionTimeoutMs) await this.loseAll();
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

function without(partitions: readonly TopicPartition[], others: readonly TopicPartition[]): TopicPartition[] {
  const keys = new Set(others.map(keyOf));
  return partitions.filter(one => !keys.has(keyOf(one)));
}

/** Resolves when the signal is aborted; forgotten when `over` is. */
function leaving(signal: AbortSignal, over: AbortSignal): Promise<{ reason: 'leaving' }> {
  return new Promise(resolve => {
    if (signal.aborted) return resolve({ reason: 'leaving' });
    signal.addEventListener('abort', () => resolve({ reason: 'leaving' }), { once: true, signal: over });
  });
}
