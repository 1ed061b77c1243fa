import { byTopic, type TopicPartition, type TopicPartitions } from './topic-partition.ts';

export interface Subscriber {
  memberId: string;
  /** Static members keep their place by this. */
  instanceId: string | null;
  topics: readonly string[];
}

/**
 * The "range" assignor of Kafka's clients: topic by topic, the subscribers in order get ranges of partitions as equal as
 * possible, the first ones one more. Every subscriber stands in the result.
 */
export function assignRanges(
  subscribers: readonly Subscriber[],
  partitionCounts: ReadonlyMap<string, number>,
): Map<string, TopicPartitions[]> {
  const order = subscribers.toSorted((a, b) => compare(a.instanceId ?? a.memberId, b.instanceId ?? b.memberId));
  const shares = new Map<string, TopicPartition[]>(order.map(one => [one.memberId, []]));
  for (const [topic, count] of [...partitionCounts].toSorted(([a], [b]) => compare(a, b))) {
    const own = order.filter(one => one.topics.includes(topic));
    let partition = 0;
    own.forEach((one, i) => {
      const share = Math.floor(count / own.length) + (i < count % own.length ? 1 : 0);
      for (let n = 0; n < share; n++) shares.get(one.memberId)?.push({ topic, partition: partition++ });
    });
  }
  return new Map(Array.from(shares, ([memberId, partitions]) => [memberId, byTopic(partitions)]));
}

/** By code units, as Java compares strings: all members must come to the same order. */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
