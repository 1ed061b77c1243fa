import { MillstreamError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { BrokerError } from '../client/broker-error.ts';
import type { Cluster } from '../client/cluster.ts';
import { TopicAdmin } from '../client/topic-admin.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import type { Engine, JoinOptions, LeaseHandler, Membership, TopicInfo, TopicSpec } from './engine.ts';
import { KafkaMembership } from './kafka-membership.ts';

export interface KafkaEngineOptions {
  /** Stays open when the engine is closed. */
  cluster: Cluster;
  logger: Logger;
  /** A member that is silent this long loses its partitions. Default 30 s. */
  sessionTimeoutMs?: number;
  /** How long `revoked` may take; then the partitions go to others all the same. Default 60 s. */
  rebalanceTimeoutMs?: number;
  /** Default 3 s, or a third of a shorter session timeout. */
  heartbeatMs?: number;
}

/**
 * Engine `kafka`: topics live in a Kafka cluster. Every `join` is a member of a consumer group of its own, so the members
 * of one group may be in as many processes as there are. Leases are fenced by the group's generation, what they append
 * by a transactional id for each partition.
 */
export class KafkaEngine implements Engine {
  private readonly options: KafkaEngineOptions;
  private readonly topics: TopicAdmin;
  private readonly memberships = new Set<KafkaMembership>();

  constructor(options: KafkaEngineOptions) {
    this.options = options;
    this.topics = new TopicAdmin(options.cluster);
  }

  async ensureTopic(spec: TopicSpec, signal?: AbortSignal): Promise<TopicInfo> {
    const { name, partitions, configs } = spec;
    const info = (await this.find(name, signal)) ?? (await this.create(spec));
    if (partitions === undefined || info.partitions === partitions) return info;
    throw new MillstreamError(
      'conflict',
      'TOPIC_ALREADY_EXISTS',
      `topic ${name} has ${info.partitions} partitions, not ${partitions}${configs ? '; its settings stay' : ''}`,
    );
  }

  async join(
    group: string,
    topics: string[],
    on: LeaseHandler,
    { start = 'earliest', exclusive = false, signal }: JoinOptions = {},
  ): Promise<Membership> {
    const {
      cluster,
      logger,
      sessionTimeoutMs = 30_000,
      rebalanceTimeoutMs = 60_000,
      heartbeatMs = Math.min(3000, sessionTimeoutMs / 3),
    } = this.options;
    const timing = { sessionTimeoutMs, rebalanceTimeoutMs, heartbeatMs };
    const membership = new KafkaMembership({ cluster, logger, group, topics, on, start, exclusive, ...timing });
    const giveUp = (): void => void membership.leave();
    this.memberships.add(membership);
    try {
      if (signal?.aborted) throw new MillstreamError('closed', 'CLOSED', `${group} was left before it was joined`);
      signal?.addEventListener('abort', giveUp, { once: true });
      await membership.start();
    } catch (error) {
      this.memberships.delete(membership);
      throw error;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
    return {
      group,
      leave: async () => {
        this.memberships.delete(membership);
        await membership.leave();
      },
    };
  }

  async close(): Promise<void> {
    const all = [...this.memberships];
    this.memberships.clear();
    await Promise.all(all.map(membership => membership.leave()));
  }

  private async find(name: string, signal?: AbortSignal): Promise<TopicInfo | null> {
    const { cluster } = this.options;
    const { topics, errors } = await cluster.retrying(() => cluster.metadata([name]), signal);
    const [found] = topics;
    if (found) return { topicId: found.topicId, name, partitions: found.partitions.length };
    const errorCode = errors.get(name) ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
    if (errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) return null;
    throw new BrokerError(errorCode, `topic ${name}`);
  }

  private async create({ name, partitions, configs = {} }: TopicSpec): Promise<TopicInfo> {
    const made = await this.topics
      .create({ name, configs, ...(partitions === undefined ? {} : { partitions }) })
      .catch((error: unknown) => {
        const raced = error instanceof BrokerError && error.errorCode === ErrorCode.TOPIC_ALREADY_EXISTS;
        if (!raced) throw error;
        return null;
      });
    if (made) return { topicId: made.topicId, name, partitions: made.partitions.length };
    const found = await this.find(name);
    if (found) return found;
    throw new MillstreamError('unavailable', 'LEADER_NOT_AVAILABLE', `topic ${name} is being made by somebody else`);
  }
}
