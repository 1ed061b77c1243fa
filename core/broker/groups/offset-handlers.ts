import { knownPositions, positionAnswers } from './committed-positions.ts';
import type { Handlers } from '../request.ts';
import type { Topics } from '../topics.ts';
import { ErrorCode } from '../kafka-error.ts';
import type { Coordinator } from './coordinator.ts';

const BATCHED_FETCH_FROM = 8;

/** OffsetCommit and OffsetFetch. A position that an open transaction may move is not stable (KIP-447). */
export function offsetHandlers(coordinator: Coordinator, topics: Topics): Handlers {
  return {
    8: async body => {
      const positions = knownPositions(body.topics, topics);
      const { groupId, memberId, groupInstanceId, generationIdOrMemberEpoch: generationId } = body;
      const codes = await coordinator.commit(groupId, { memberId, groupInstanceId, generationId }, positions);
      return positionAnswers(body.topics, positions, codes);
    },
    9: (body, { apiVersion }) => {
      if (apiVersion >= BATCHED_FETCH_FROM) {
        return {
          groups: body.groups.map(group => ({
            groupId: group.groupId,
            errorCode: ErrorCode.NONE,
            topics: fetchOffsets(coordinator, group.groupId, group.topics, body.requireStable),
          })),
        };
      }
      return {
        errorCode: ErrorCode.NONE,
        topics: fetchOffsets(coordinator, body.groupId, body.topics, body.requireStable),
      };
    },
  };
}

interface FetchedTopic {
  name: string;
  partitions: {
    partitionIndex: number;
    committedOffset: number;
    committedLeaderEpoch: number;
    metadata: string;
    errorCode: number;
  }[];
}

/** `asked` null: everything that the group has. A partition without a position has offset -1. */
function fetchOffsets(
  { offsets }: Coordinator,
  groupId: string,
  asked: readonly { name: string; partitionIndexes: readonly number[] }[] | null,
  requireStable: boolean,
): FetchedTopic[] {
  const wanted = asked
    ? asked.map(({ name, partitionIndexes }) => [name, partitionIndexes] as const)
    : [...Map.groupBy(offsets.of(groupId, 'durable'), ({ topic }) => topic)].map(
        ([name, own]) => [name, own.map(({ partition }) => partition)] as const,
      );
  const isUnstable = (name: string, partition: number): boolean =>
    requireStable && offsets.isUnstable(groupId, name, partition);
  return wanted.map(([name, partitionIndexes]) => ({
    name,
    partitions: partitionIndexes.map(partitionIndex => {
      if (isUnstable(name, partitionIndex)) {
        const errorCode = ErrorCode.UNSTABLE_OFFSET_COMMIT;
        return { partitionIndex, committedOffset: -1, committedLeaderEpoch: -1, metadata: '', errorCode };
      }
      const committed = offsets.durable(groupId, name, partitionIndex);
      return {
        partitionIndex,
        committedOffset: committed?.offset ?? -1,
        committedLeaderEpoch: committed?.leaderEpoch ?? -1,
        metadata: committed?.metadata ?? '',
        errorCode: ErrorCode.NONE,
      };
    }),
  }));
}
