import type { PartitionLog } from '../log/log.ts';
import type { ResponseInput } from '../protocol/api.ts';
import { ErrorCode } from './kafka-error.ts';
import type { Handler } from './request.ts';
import type { Topics } from './topics.ts';

/** Compares the epoch a client believes in with the log's (KIP-320); -1 is a client that does not say. */
export function leaderEpochError(log: PartitionLog, currentLeaderEpoch: number): number {
  if (currentLeaderEpoch < 0 || currentLeaderEpoch === log.leaderEpoch) return ErrorCode.NONE;
  return currentLeaderEpoch < log.leaderEpoch ? ErrorCode.FENCED_LEADER_EPOCH : ErrorCode.UNKNOWN_LEADER_EPOCH;
}

/** Where an epoch ended: consumers find out whether the log was truncated below them. */
export function offsetForLeaderEpochHandler(topics: Topics): Handler<23> {
  type Answer = ResponseInput<23>['topics'][number]['partitions'][number];
  return body => ({
    topics: body.topics.map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map(({ partition, currentLeaderEpoch, leaderEpoch }): Answer => {
        const log = topics.get(topic)?.partitions[partition]?.log;
        if (!log) return { partition, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION };
        const errorCode = leaderEpochError(log, currentLeaderEpoch);
        if (errorCode !== ErrorCode.NONE) return { partition, errorCode };
        const end = log.endOffsetForEpoch(leaderEpoch);
        return {
          partition,
          errorCode,
          leaderEpoch: end?.epoch ?? -1,
          endOffset: end?.endOffset ?? -1,
        };
      }),
    })),
  });
}
