import { BrokerError } from '../client/broker-error.ts';
import type { Cluster } from '../client/cluster.ts';
import type { TopicMetadata } from '../client/cluster-metadata.ts';
import { committedOffsets } from '../client/group-offsets.ts';
import type { Generation } from '../client/heartbeats.ts';
import { listOffsets } from '../client/list-offsets.ts';
import type { PartitionReads } from '../client/partition-reads.ts';
import { keyOf, type TopicPartition } from '../client/topic-partition.ts';
import { TransactionalProducer } from '../client/transactional-producer.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import type { CommitMembership } from './kafka-commits.ts';
import { KafkaLease, positionOf } from './kafka-lease.ts';

export interface TakeOptions {
  cluster: Cluster;
  generation: Generation;
  membership: CommitMembership;
  reads: PartitionReads;
  /** Where a partition without a position begins. */
  start: 'earliest' | 'latest';
  /** Ends the attempt: the membership is over. */
  signal: AbortSignal;
  /** Hears why the positions cannot be had yet. */
  onWait: (error: Error) => void;
}

/**
 * Takes partitions over, in this order (DESIGN 2): being a member already, end what the last owner left in a
 * transaction (InitProducerId), then read the positions, stable ones, then make the leases. Goes on while brokers
 * cannot be reached, until the signal is aborted. Throws BrokerError.
 */
export async function takePartitions(
  partitions: readonly TopicPartition[],
  options: TakeOptions,
): Promise<KafkaLease[]> {
  if (partitions.length === 0) return [];
  const { cluster, generation, membership, reads, start, signal } = options;
  const { group, generationId } = generation;
  const retry = { signal, forMs: Number.POSITIVE_INFINITY };
  const topics = await describe(cluster, [...new Set(partitions.map(one => one.topic))], options);
  const own = partitions.filter(one => topics.get(one.topic)?.partitions[one.partition]);
  const producers = await Promise.all(
    own.map(async one => {
      const transactionalId = `${group}.${topics.get(one.topic)?.topicId}-${one.partition}`;
      const producer = new TransactionalProducer(cluster, { transactionalId });
      await producer.take(signal).catch(exceptUnauthorized);
      return producer;
    }),
  );
  const [positions, from, to] = await Promise.all([
    committedOffsets(cluster, group, own, { ...retry, onRetry: options.onWait }),
    listOffsets(cluster, own, 'earliest', 'read_committed', retry),
    listOffsets(cluster, own, 'latest', 'read_committed', retry),
  ]);
  return own.map((one, i) => {
    const key = keyOf(one);
    const metadata = topics.get(one.topic) as TopicMetadata;
    const bounds = { from: from.get(key) ?? 0, to: to.get(key) ?? 0 };
    const committed = positions.get(key);
    const position = committed ? positionOf(committed) : null;
    return new KafkaLease({
      ...one,
      cluster,
      group,
      membership,
      reads,
      bounds,
      position,
      start: position?.next ?? BigInt(start === 'latest' ? bounds.to : bounds.from),
      topicId: metadata.topicId,
      partitions: metadata.partitions.length,
      epoch: generationId,
      producer: producers[i] as TransactionalProducer,
      now: () => cluster.clock.monotonic(),
    });
  });
}

/** Asks anew: a topic of the same name may be another one by now. Those that are not there are left out. */
async function describe(
  cluster: Cluster,
  names: readonly string[],
  { signal }: TakeOptions,
): Promise<Map<string, TopicMetadata>> {
  const { topics } = await cluster.retrying(() => cluster.metadata(names), signal, Number.POSITIVE_INFINITY);
  return new Map(topics.map(topic => [topic.name, topic]));
}

/** Who only moves positions needs no transactions, nor the right to have any: refused when something is appended. */
function exceptUnauthorized(error: unknown): void {
  const refused = error instanceof BrokerError && error.errorCode === ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
  if (!refused) throw error;
}
