import { sleep } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Cluster } from '../client/cluster.ts';
import { listOffsets } from '../client/list-offsets.ts';
import { keyOf, type TopicPartition } from '../client/topic-partition.ts';
import type { KafkaLease } from './kafka-lease.ts';

export interface KafkaWatchOptions {
  cluster: Cluster;
  logger: Logger;
  leases(): readonly KafkaLease[];
  /** The topics of these are gone, or are others of the same name. */
  replaced(partitions: readonly TopicPartition[]): void;
}

/** How often the topics and, where nothing is read, the ends of their logs are asked for. */
const LOOK_EVERY_MS = 10_000;
/** Not more often than this when reads ask for it. */
const LOOK_AT_MOST_MS = 500;
/**
 * Brokers before KIP-211 forget positions some days after their commit, whether the group has members or not; an idle
 * sink's state would go with them. Those behind it keep what members read.
 */
const TOUCH_EVERY_MS = 24 * 60 * 60 * 1000;

/** What a membership looks after beside reads and commits. */
export class KafkaWatch {
  private readonly options: KafkaWatchOptions;
  private wake = new AbortController();

  constructor(options: KafkaWatchOptions) {
    this.options = options;
  }

  /** Looks now: a topic may have been deleted or made anew. */
  look(): void {
    this.wake.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { cluster, logger } = this.options;
    while (!signal.aborted) {
      await sleep(cluster.clock, LOOK_EVERY_MS, AbortSignal.any([signal, this.wake.signal]));
      if (signal.aborted) return;
      this.wake = new AbortController();
      try {
        await this.topics();
        await this.bounds();
        this.touch();
      } catch (error) {
        // Whatever is wrong with the brokers: reads, commits and heartbeats see to it.
        logger.debug('the topics could not be looked at', { error });
      }
      await sleep(cluster.clock, LOOK_AT_MOST_MS, signal);
    }
  }

  private async topics(): Promise<void> {
    const leases = this.options.leases();
    if (leases.length === 0) return;
    const { topics, errors } = await this.options.cluster.metadata([...new Set(leases.map(lease => lease.topic))]);
    const ids = new Map(topics.map(topic => [topic.name, topic.topicId]));
    const replaced = leases.filter(({ topic, topicId }) =>
      ids.has(topic) ? ids.get(topic) !== topicId : errors.has(topic),
    );
    if (replaced.length === 0) return;
    this.options.logger.warn('topics were deleted or made anew', {
      topics: [...new Set(replaced.map(lease => lease.topic))],
    });
    for (const lease of replaced) lease.end();
    this.options.replaced(replaced.map(({ topic, partition }) => ({ topic, partition })));
  }

  private async bounds(): Promise<void> {
    const { cluster } = this.options;
    const now = cluster.clock.monotonic();
    const quiet = this.options.leases().filter(lease => now - lease.reader.heardAt >= LOOK_EVERY_MS);
    if (quiet.length === 0) return;
    const [from, to] = await Promise.all([
      listOffsets(cluster, quiet, 'earliest', 'read_committed'),
      listOffsets(cluster, quiet, 'latest', 'read_committed'),
    ]);
    for (const lease of quiet) lease.reader.hear(from.get(keyOf(lease)) ?? -1, to.get(keyOf(lease)) ?? -1);
  }

  private touch(): void {
    const now = this.options.cluster.clock.monotonic();
    for (const lease of this.options.leases()) {
      if (now - lease.commits.committedAt < TOUCH_EVERY_MS) continue;
      lease.commits.touch().catch((error: unknown) => {
        this.options.logger.warn('a position could not be committed anew', { topic: lease.topic, error });
      });
    }
  }
}
