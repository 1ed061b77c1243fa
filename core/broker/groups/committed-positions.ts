import { ErrorCode } from '../kafka-error.ts';
import type { Topics } from '../topics.ts';
import type { OffsetToCommit } from './coordinator.ts';

/** Positions as OffsetCommit and TxnOffsetCommit carry them. */
type CommittedTopics = readonly {
  readonly name: string;
  readonly partitions: readonly {
    readonly partitionIndex: number;
    readonly committedOffset: number;
    readonly committedLeaderEpoch: number;
    readonly committedMetadata: string | null;
  }[];
}[];

/** Those of a request whose partition exists. */
export function knownPositions(requested: CommittedTopics, topics: Topics): OffsetToCommit[] {
  const positions: OffsetToCommit[] = [];
  for (const { name, partitions } of requested) {
    const known = topics.get(name)?.partitions.length ?? 0;
    for (const { partitionIndex, committedOffset, committedLeaderEpoch, committedMetadata } of partitions) {
      if (partitionIndex < 0 || partitionIndex >= known) continue;
      positions.push({
        topic: name,
        partition: partitionIndex,
        offset: committedOffset,
        leaderEpoch: committedLeaderEpoch,
        metadata: committedMetadata,
      });
    }
  }
  return positions;
}

/** The answer to such a request: `codes` belong to `positions`, one each; partitions that are not there are unknown. */
export function positionAnswers(
  requested: CommittedTopics,
  positions: readonly OffsetToCommit[],
  codes: readonly number[],
) {
  const byPosition = new Map(positions.map(({ topic, partition }, i) => [`${topic}/${partition}`, codes[i]]));
  return {
    topics: requested.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => ({
        partitionIndex,
        errorCode: byPosition.get(`${name}/${partitionIndex}`) ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
      })),
    })),
  };
}
