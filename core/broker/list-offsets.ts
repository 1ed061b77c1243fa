import type { PartitionLog } from '../log/log.ts';
import type { ResponseInput } from '../protocol/api.ts';
import { READ_COMMITTED } from './fetch.ts';
import { ErrorCode, errorCodeOf } from './kafka-error.ts';
import { leaderEpochError } from './leader-epoch.ts';
import type { Handler } from './request.ts';
import type { Topics } from './topics.ts';

/* Timestamps below zero are questions (KIP-79, KIP-734, KIP-405, KIP-1005). */
const LATEST = -1;
const EARLIEST = -2;
const MAX_TIMESTAMP = -3;
const EARLIEST_LOCAL = -4;
const LATEST_TIERED = -5;

type Answer = ResponseInput<2>['topics'][number]['partitions'][number];

export function listOffsetsHandler(topics: Topics): Handler<2> {
  return async body => ({
    topics: await Promise.all(
      body.topics.map(async ({ name, partitions }) => ({
        name,
        partitions: await Promise.all(
          partitions.map(async ({ partitionIndex, currentLeaderEpoch, timestamp }): Promise<Answer> => {
            const log = topics.get(name)?.partitions[partitionIndex]?.log;
            if (!log) return { partitionIndex, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION };
            const errorCode = leaderEpochError(log, currentLeaderEpoch);
            if (errorCode !== ErrorCode.NONE) return { partitionIndex, errorCode };
            try {
              const found = await find(log, timestamp, body.isolationLevel === READ_COMMITTED);
              const leaderEpoch = found.offset < 0 ? -1 : log.leaderEpoch;
              return { partitionIndex, errorCode, leaderEpoch, ...found };
            } catch (error) {
              return { partitionIndex, errorCode: errorCodeOf(error) };
            }
          }),
        ),
      })),
    ),
  });
}

async function find(
  log: PartitionLog,
  timestamp: number,
  committedOnly: boolean,
): Promise<{ offset: number; timestamp: number }> {
  const end = committedOnly ? log.lastStableOffset : log.highWatermark;
  switch (timestamp) {
    case LATEST:
      return { offset: end, timestamp: -1 };
    case EARLIEST:
    case EARLIEST_LOCAL:
      return { offset: log.startOffset, timestamp: -1 };
    case MAX_TIMESTAMP:
      return newest(log);
    case LATEST_TIERED:
      return { offset: -1, timestamp: -1 };
    default: {
      const found = await log.offsetForTimestamp(timestamp);
      return found && found.offset < end ? found : { offset: -1, timestamp: -1 };
    }
  }
}

/** The first record with the greatest timestamp, by bisecting the question that the log answers quickly. */
async function newest(log: PartitionLog): Promise<{ offset: number; timestamp: number }> {
  let best = await log.offsetForTimestamp(0);
  if (!best) return { offset: -1, timestamp: -1 };
  let step = 1;
  for (;;) {
    const later = await log.offsetForTimestamp(best.timestamp + step);
    if (later) {
      best = later;
      step *= 2;
    } else if (step === 1) {
      return best;
    } else {
      step = Math.max(1, Math.floor(step / 4));
    }
  }
}
