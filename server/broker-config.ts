import type { Broker } from '../core/broker/broker.ts';
import { type BrokerConfig, DEFAULT_BROKER_CONFIG } from '../core/broker/config.ts';
import { ETL_MODULES } from '../core/broker/topic-config.ts';
import type { Topic } from '../core/broker/topics.ts';
import type { Engine } from '../core/engine/engine.ts';
import type { ServerConfig } from './config/load-config.ts';

/** millstream.toml's names -> the broker's settings. */
export function brokerConfigOf({ broker, wal }: ServerConfig): BrokerConfig {
  return {
    ...DEFAULT_BROKER_CONFIG,
    autoCreateTopics: broker.auto_create_topics,
    defaultPartitions: broker.default_partitions,
    maxMessageBytes: broker.max_message_bytes,
    segmentBytes: wal.segment_size_bytes,
    acceptAnyReplicationFactor: broker.accept_any_replication_factor,
  };
}

/** Kafka knows brokers by number: that at the end of `broker.id`, 1 without one. */
export function nodeIdOf(id: string): number {
  const digits = /\d{1,9}$/.exec(id);
  return digits ? Number(digits[0]) : 1;
}

/** Creates the topics of `[topics.NAME]` that are not there; the others keep their settings. */
export async function declareTopics(
  home: Pick<Engine, 'ensureTopic'>,
  { engine, topics, broker: { default_partitions: partitions } }: ServerConfig,
): Promise<void> {
  for (const [name, topic] of Object.entries(topics)) {
    // A cluster has a default of its own.
    const count = topic.partition_count ?? (engine.kind === 'kafka' ? null : partitions);
    await home.ensureTopic({
      name,
      ...(count !== null && { partitions: count }),
      configs: {
        'retention.ms': String(topic.retention_ms),
        'retention.bytes': String(topic.retention_bytes),
        'segment.ms': String(topic.segment_age_ms),
        'cleanup.policy': topic.cleanup,
      },
    });
  }
}

/** Says in each topic's settings, also of one that is made anew, which modules its records pass: tools show it, and `verify`
 * knows what may be missing. Once written it stays, if only to say that there are none any more. */
export async function declareModules({ topics }: Broker, config: ServerConfig): Promise<void> {
  const declare = async ({ name, configs }: Topic): Promise<void> => {
    const modules = (config.topics[name]?.etl_modules ?? []).map(({ module }) => module).join(',');
    const said = configs[ETL_MODULES];
    if (said === modules || (said === undefined && modules === '')) return;
    await topics.configure(name, { [ETL_MODULES]: modules });
  };
  for (const topic of topics.list()) await declare(topic);
  topics.onChange(({ kind, topic }) => {
    // It may be gone again already.
    if (kind === 'created') declare(topic).catch(() => {});
  });
}
