import { ApiKey } from '../protocol/api.ts';
import type { RetryOptions } from './back-off.ts';
import { refuse } from './broker-error.ts';
import type { Cluster } from './cluster.ts';
import type { Generation } from './heartbeats.ts';
import { byTopic, keyOf, type TopicPartition } from './topic-partition.ts';

export interface CommittedOffset extends TopicPartition {
  /** The next record to read. */
  offset: number;
  metadata: string | null;
}

/**
 * Commits positions for a group, as one of its members or (generation null) from outside while it has none. Retried.
 * Throws BrokerError: kind `conflict` when the member's generation is over.
 */
export function commitOffsets(
  cluster: Cluster,
  group: string,
  generation: Generation | null,
  offsets: readonly CommittedOffset[],
  retry: RetryOptions = {},
): Promise<void> {
  if (offsets.length === 0) return Promise.resolve();
  const topics = toCommit(offsets);
  return cluster.retrying(
    async () => {
      const answer = await cluster.toCoordinator(group, ApiKey.OffsetCommit, {
        groupId: group,
        generationIdOrMemberEpoch: generation?.generationId ?? -1,
        memberId: generation?.memberId ?? '',
        groupInstanceId: generation?.instanceId ?? null,
        topics,
      });
      for (const topic of answer.topics) {
        for (const one of topic.partitions) refuse(one.errorCode, `commit of ${topic.name}-${one.partitionIndex}`);
      }
    },
    retry.signal,
    retry.forMs,
  );
}

/** The topics of OffsetCommit and TxnOffsetCommit. */
export function toCommit(offsets: readonly CommittedOffset[]): {
  name: string;
  partitions: { partitionIndex: number; committedOffset: number; committedMetadata: string | null }[];
}[] {
  return Array.from(
    Map.groupBy(offsets, one => one.topic),
    ([name, own]) => ({
      name,
      partitions: own.map(one => ({
        partitionIndex: one.partition,
        committedOffset: one.offset,
        committedMetadata: one.metadata,
      })),
    }),
  );
}

/**
 * The group's positions (null: all that it has), by `keyOf`; partitions without one are left out. Offsets inside an
 * open transaction are waited for (KIP-447). Retried; throws BrokerError.
 */
export function committedOffsets(
  cluster: Cluster,
  group: string,
  partitions: readonly TopicPartition[] | null,
  retry: RetryOptions = {},
): Promise<Map<string, CommittedOffset>> {
  if (partitions?.length === 0) return Promise.resolve(new Map());
  const topics =
    partitions && byTopic(partitions).map(({ topic, partitions: own }) => ({ name: topic, partitionIndexes: own }));
  return cluster.retrying(
    async () => {
      const answer = await cluster.toCoordinator(group, ApiKey.OffsetFetch, {
        groupId: group,
        topics,
        groups: [{ groupId: group, topics }],
        requireStable: true,
      });
      // v8 and later answer for several groups.
      const own = answer.groups[0] ?? answer;
      refuse(own.errorCode, `offsets of group ${group}`);
      const found = new Map<string, CommittedOffset>();
      for (const { name: topic, partitions: answered } of own.topics) {
        for (const { partitionIndex: partition, errorCode, committedOffset: offset, metadata } of answered) {
          refuse(errorCode, `offset of ${topic}-${partition} in group ${group}`);
          if (offset >= 0) found.set(keyOf({ topic, partition }), { topic, partition, offset, metadata });
        }
      }
      return found;
    },
    retry.signal,
    retry.forMs,
    retry.onRetry,
  );
}
