import { ApiKey } from '../protocol/api.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import { ZERO_UUID } from '../protocol/schema.ts';
import { awaitTopic, unknownTopic } from './await-topic.ts';
import { BrokerError, refuse } from './broker-error.ts';
import type { Cluster } from './cluster.ts';
import type { Connection } from './connection.ts';
import type { BrokerAddress, PartitionMetadata, TopicMetadata } from './cluster-metadata.ts';
import { listOffsets } from './list-offsets.ts';
import { keyOf } from './topic-partition.ts';

export interface NewTopic {
  name: string;
  /** Default: the broker's. */
  partitions?: number;
  replicationFactor?: number;
  /** Kafka's names, e.g. { 'retention.ms': '60000' }. */
  configs?: Readonly<Record<string, string>>;
}

export interface TopicConfig {
  name: string;
  value: string | null;
  isDefault: boolean;
}

export interface TopicDescription {
  name: string;
  topicId: string;
  isInternal: boolean;
  partitions: (PartitionMetadata & { startOffset: number; endOffset: number })[];
  configs: TopicConfig[];
}

const TIMEOUT_MS = 30_000;
const TOPIC_RESOURCE = 2;
const DEFAULT_CONFIG = 5;

/** Topics of a cluster. Every call is retried while that makes sense; refusals are BrokerErrors. */
export class TopicAdmin {
  private readonly cluster: Cluster;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  async brokers(): Promise<{ clusterId: string | null; controller: number; brokers: readonly BrokerAddress[] }> {
    return this.cluster.retrying(() => this.cluster.metadata([]));
  }

  /** Resolves when the topic has leaders. Kind `conflict`, TOPIC_ALREADY_EXISTS; `invalid` for a bad name or config. */
  async create(topic: NewTopic): Promise<TopicMetadata> {
    await this.onController(async connection => {
      const response = await connection.send(
        ApiKey.CreateTopics,
        {
          topics: [
            {
              name: topic.name,
              numPartitions: topic.partitions ?? -1,
              replicationFactor: topic.replicationFactor ?? -1,
              assignments: [],
              configs: Object.entries(topic.configs ?? {}).map(([name, value]) => ({ name, value })),
            },
          ],
          timeoutMs: TIMEOUT_MS,
        },
        { waitMs: TIMEOUT_MS },
      );
      const answer = response.topics[0];
      refuse(answer?.errorCode ?? ErrorCode.UNKNOWN_SERVER_ERROR, `topic ${topic.name}`, answer?.errorMessage ?? null);
    });
    return awaitTopic(this.cluster, topic.name, true);
  }

  async delete(name: string): Promise<void> {
    await this.onController(async connection => {
      const body = { topics: [{ name }], topicNames: [name], timeoutMs: TIMEOUT_MS };
      const response = await connection.send(ApiKey.DeleteTopics, body, { waitMs: TIMEOUT_MS });
      const answer = response.responses[0];
      // Elsewhere a missing topic may be one that a broker has not heard of yet; here it is simply not there.
      if (answer?.errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) throw unknownTopic(name);
      refuse(answer?.errorCode ?? ErrorCode.UNKNOWN_SERVER_ERROR, `topic ${name}`, answer?.errorMessage || null);
    });
    this.cluster.forgetTopic(name);
  }

  /** All topics by name, the broker's own included. */
  async list(): Promise<TopicMetadata[]> {
    const { topics } = await this.cluster.retrying(() => this.cluster.metadata(null));
    return topics.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  async describe(name: string): Promise<TopicDescription> {
    this.cluster.forgetTopic(name);
    const topic = await awaitTopic(this.cluster, name, false);
    const partitions = topic.partitions.map(one => ({ topic: name, partition: one.partition }));
    const [starts, ends, configs] = await Promise.all([
      listOffsets(this.cluster, partitions, 'earliest'),
      listOffsets(this.cluster, partitions, 'latest'),
      this.configs(name),
    ]);
    return {
      name,
      topicId: topic.topicId === ZERO_UUID ? '' : topic.topicId,
      isInternal: topic.isInternal,
      partitions: topic.partitions.map(one => {
        const key = keyOf({ topic: name, partition: one.partition });
        return { ...one, startOffset: starts.get(key) ?? 0, endOffset: ends.get(key) ?? 0 };
      }),
      configs,
    };
  }

  /** The topic's settings; none when the broker does not tell. */
  async configs(name: string): Promise<TopicConfig[]> {
    return this.cluster.retrying(async () => {
      const connection = await this.cluster.any();
      const resource = { resourceType: TOPIC_RESOURCE, resourceName: name, configurationKeys: null };
      const response = await connection.send(ApiKey.DescribeConfigs, { resources: [resource] }).catch(emptyIfUnknown);
      const answer = response.results[0];
      if (!answer) return [];
      refuse(answer.errorCode, `settings of topic ${name}`, answer.errorMessage || null);
      return answer.configs
        .map(({ name: config, value, configSource }) => ({
          name: config,
          value,
          isDefault: configSource === DEFAULT_CONFIG,
        }))
        .toSorted((a, b) => (a.name < b.name ? -1 : 1));
    });
  }

  /** Runs on the controller; asks for it anew before another try. */
  private onController<T>(attempt: (connection: Connection) => Promise<T>): Promise<T> {
    return this.cluster.retrying(async () => {
      const { controller } = await this.cluster.metadata([]);
      return attempt(controller >= 0 ? await this.cluster.broker(controller) : await this.cluster.any());
    });
  }
}

function emptyIfUnknown(error: unknown): { results: [] } {
  if (error instanceof BrokerError && error.errorCode === ErrorCode.UNSUPPORTED_VERSION) return { results: [] };
  throw error;
}
