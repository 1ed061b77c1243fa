import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { BrokerConfig } from './config.ts';
import type { Coordinator } from './groups/coordinator.ts';
import type { Topics } from './topics.ts';
import type { Transactions } from './transactions/coordinator.ts';

export interface HousekeepingOptions {
  topics: Topics;
  coordinator: Coordinator;
  transactions: Transactions;
  config: BrokerConfig;
  clock: Clock;
  logger: Logger;
  /** Nothing at or above this offset is removed by retention, whatever its age. */
  retentionFloor: (topic: string, partition: number) => number;
}

/** What runs by the clock: retention, compaction, forgotten producers, expired positions. */
export class Housekeeping {
  private readonly options: HousekeepingOptions;
  private timer: Timer | null = null;
  private running: Promise<void> = Promise.resolve();
  /** The round of compaction that is under way: a long one must not hold up the rest. */
  private compacting: Promise<void> | null = null;
  private closed = false;

  constructor(options: HousekeepingOptions) {
    this.options = options;
    this.schedule();
  }

  async close(): Promise<void> {
    this.closed = true;
    this.timer?.cancel();
    // A compaction that is under way ends when its log is closed.
    await this.running;
  }

  /** Compacts what is due, one log after another. Resolves at the end of the round, also of one that runs already. */
  compact(): Promise<void> {
    this.compacting ??= this.compactAll().finally(() => (this.compacting = null));
    return this.compacting;
  }

  private async compactAll(): Promise<void> {
    const { topics, logger } = this.options;
    for (const topic of topics.list()) {
      if (!topic.settings.compacted) continue;
      for (const { log, index } of topic.partitions) {
        if (this.closed) return;
        try {
          const result = await log.compact(topic.settings.compaction);
          if (result) logger.info('compacted', { topic: topic.name, partition: index, ...result });
        } catch (error) {
          if (!this.closed) logger.warn('compaction failed', { topic: topic.name, partition: index, error });
        }
      }
    }
  }

  /** One round; errors are logged, the next round tries again. */
  async run(): Promise<void> {
    const { topics, coordinator, transactions, config, clock, logger, retentionFloor } = this.options;
    for (const topic of topics.list()) {
      for (const { log, index, producers } of topic.partitions) {
        if (this.closed) return;
        producers.expire(clock.now() - config.producerIdExpirationMs);
        if (topic.internal) continue;
        try {
          await log.enforceRetention(clock.now(), retentionFloor(topic.name, index));
        } catch (error) {
          logger.warn('retention failed', { topic: topic.name, partition: index, error });
        }
      }
    }
    void this.compact();
    try {
      await coordinator.expire();
    } catch (error) {
      logger.warn('expired positions could not be removed', { error });
    }
    try {
      await transactions.expire();
    } catch (error) {
      logger.warn('expired transactional ids could not be removed', { error });
    }
  }

  private schedule(): void {
    const { clock, config } = this.options;
    this.timer = clock.setTimer(config.housekeepingIntervalMs, () => {
      this.running = this.run().finally(() => {
        if (!this.closed) this.schedule();
      });
    });
  }
}
