import type { ResponseInput } from '../protocol/api.ts';
import { ErrorCode, errorCodeOf, refused } from './kafka-error.ts';
import type { Handler } from './request.ts';
import type { Topics } from './topics.ts';

/** Offset -1 asks for everything up to the high watermark. */
const ALL = -1;

type Answer = ResponseInput<21>['topics'][number]['partitions'][number];

export function deleteRecordsHandler(topics: Topics): Handler<21> {
  return async body => ({
    topics: await Promise.all(
      body.topics.map(async ({ name, partitions }) => ({
        name,
        partitions: await Promise.all(
          partitions.map(async ({ partitionIndex, offset }): Promise<Answer> => {
            try {
              const lowWatermark = await deleteRecords(topics, name, partitionIndex, offset);
              return { partitionIndex, lowWatermark, errorCode: ErrorCode.NONE };
            } catch (error) {
              return { partitionIndex, lowWatermark: -1, errorCode: errorCodeOf(error) };
            }
          }),
        ),
      })),
    ),
  });
}

async function deleteRecords(topics: Topics, name: string, index: number, offset: number): Promise<number> {
  const topic = topics.require(name);
  const log = topic.partitions[index]?.log;
  if (!log) throw refused('UNKNOWN_TOPIC_OR_PARTITION', `There is no partition ${name}-${index}.`);
  if (topic.internal) throw refused('INVALID_TOPIC_EXCEPTION', `${name} is an internal topic.`);
  const before = offset === ALL ? log.highWatermark : offset;
  if (before < 0 || before > log.highWatermark) {
    throw refused('OFFSET_OUT_OF_RANGE', `Offset ${offset} is not within ${name}-${index}.`);
  }
  return log.deleteBefore(before);
}
