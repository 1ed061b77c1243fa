/** One partition of one topic. */
export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** A key for maps; topic names hold no colon. */
export const keyOf = (one: TopicPartition): string => `${one.topic}:${one.partition}`;

export interface TopicPartitions {
  topic: string;
  partitions: number[];
}

/** Grouped by topic, as requests want it. */
export function byTopic(partitions: Iterable<TopicPartition>): TopicPartitions[] {
  const grouped = Map.groupBy(partitions, one => one.topic);
  return Array.from(grouped, ([topic, own]) => ({ topic, partitions: own.map(one => one.partition) }));
}
