import { ApiKey } from '../protocol/api.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import { BrokerError, refuse } from './broker-error.ts';
import type { Cluster } from './cluster.ts';
import type { RetryOptions } from './back-off.ts';
import { byTopic, keyOf, type TopicPartition } from './topic-partition.ts';

export type Isolation = 'read_uncommitted' | 'read_committed';
/** earliest: where the log begins; latest: its end (the last stable offset when reading committed); a time in ms. */
export type OffsetQuery = 'earliest' | 'latest' | { timestamp: number };

export const isolationLevel = (isolation: Isolation): number => (isolation === 'read_committed' ? 1 : 0);

/**
 * Asks the leaders for offsets, by `keyOf`. A time after the last record gives the end of the log. Retried; throws
 * BrokerError.
 */
export function listOffsets(
  cluster: Cluster,
  partitions: readonly TopicPartition[],
  query: OffsetQuery,
  isolation: Isolation = 'read_uncommitted',
  retry: RetryOptions = {},
): Promise<Map<string, number>> {
  return cluster.retrying(
    async () => {
      const found = await askLeaders(cluster, partitions, query, isolation);
      const beyond = partitions.filter(one => (found.get(keyOf(one)) ?? -1) < 0);
      if (typeof query === 'object' && beyond.length > 0) {
        for (const [key, offset] of await askLeaders(cluster, beyond, 'latest', isolation)) found.set(key, offset);
      }
      return found;
    },
    retry.signal,
    retry.forMs,
  );
}

async function askLeaders(
  cluster: Cluster,
  partitions: readonly TopicPartition[],
  query: OffsetQuery,
  isolation: Isolation,
): Promise<Map<string, number>> {
  const timestamp = query === 'earliest' ? -2 : query === 'latest' ? -1 : query.timestamp;
  const leaders = await Promise.all(partitions.map(one => cluster.leaderOf(one.topic, one.partition)));
  const byLeader = Map.groupBy(partitions, (_, i) => leaders[i] as number);
  const found = new Map<string, number>();
  await Promise.all(
    Array.from(byLeader, async ([leader, own]) => {
      const connection = await cluster.broker(leader);
      const response = await connection.send(ApiKey.ListOffsets, {
        isolationLevel: isolationLevel(isolation),
        topics: byTopic(own).map(({ topic, partitions: numbers }) => ({
          name: topic,
          partitions: numbers.map(partitionIndex => ({ partitionIndex, timestamp })),
        })),
      });
      for (const topic of response.topics) {
        for (const { partitionIndex: partition, errorCode, offset } of topic.partitions) {
          refuse(errorCode, `${topic.name}-${partition}`);
          found.set(keyOf({ topic: topic.name, partition }), offset);
        }
      }
    }),
  );
  for (const one of partitions) {
    if (!found.has(keyOf(one))) throw new BrokerError(ErrorCode.UNKNOWN_SERVER_ERROR, `${keyOf(one)} has no answer`);
  }
  return found;
}
