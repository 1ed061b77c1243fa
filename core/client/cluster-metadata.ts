import type { MetadataResponse } from '../protocol/messages/metadata.ts';

export interface BrokerAddress {
  nodeId: number;
  host: string;
  port: number;
  rack: string | null;
}

export interface PartitionMetadata {
  partition: number;
  /** -1: there is none at the moment. */
  leader: number;
  leaderEpoch: number;
  replicas: readonly number[];
  inSyncReplicas: readonly number[];
}

export interface TopicMetadata {
  name: string;
  /** 32 hex digits; zeros when the broker is too old to tell. */
  topicId: string;
  isInternal: boolean;
  /** By partition number. */
  partitions: readonly PartitionMetadata[];
}

export interface ClusterMetadata {
  clusterId: string | null;
  controller: number;
  brokers: readonly BrokerAddress[];
  topics: readonly TopicMetadata[];
  /** Topics asked for by name that could not be described, with Kafka's error code. */
  errors: ReadonlyMap<string, number>;
}

export function readMetadata(response: MetadataResponse): ClusterMetadata {
  const errors = new Map<string, number>();
  const topics: TopicMetadata[] = [];
  for (const topic of response.topics) {
    if (topic.errorCode !== 0) {
      errors.set(topic.name ?? '', topic.errorCode);
      continue;
    }
    const partitions = topic.partitions.map(one => ({
      partition: one.partitionIndex,
      leader: one.leaderId,
      leaderEpoch: one.leaderEpoch,
      replicas: one.replicaNodes,
      inSyncReplicas: one.isrNodes,
    }));
    partitions.sort((a, b) => a.partition - b.partition);
    topics.push({ name: topic.name ?? '', topicId: topic.topicId, isInternal: topic.isInternal, partitions });
  }
  return {
    clusterId: response.clusterId,
    controller: response.controllerId,
    brokers: response.brokers,
    topics,
    errors,
  };
}
