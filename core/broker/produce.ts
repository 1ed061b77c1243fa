import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Histogram } from '../base/metrics.ts';
import { CODECS, type BatchHeader, ATTRIBUTE, isTransactional } from '../log/batch.ts';
import type { Appended } from '../log/log.ts';
import type { RequestBody, ResponseInput } from '../protocol/api.ts';
import { ErrorCode, errorCodeOf, refused } from './kafka-error.ts';
import type { Partition } from './partition.ts';
import type { Handler } from './request.ts';
import type { Topics } from './topics.ts';
import type { Transactions } from './transactions/coordinator.ts';
import { retention, stampAppendTime, validateBatches } from './validate-batches.ts';

/** Produce below this version comes from clients that do not know zstd (KIP-110). */
const FIRST_ZSTD_VERSION = 7;
/** From this version on a transactional write adds its partition to the transaction (KIP-890). */
const FIRST_IMPLICIT_VERSION = 12;

export interface ProduceOptions {
  topics: Topics;
  transactions: Transactions;
  clock: Clock;
  logger: Logger;
  latency: Histogram;
}

type PartitionAnswer = ResponseInput<0>['responses'][number]['partitionResponses'][number];
type PartitionData = RequestBody<0>['topicData'][number]['partitionData'][number];

/**
 * Appends in the order of arrival, in this turn; answers when all is durable. An ack, also with acks 1, means on disk.
 */
export function produceHandler(options: ProduceOptions): Handler<0> {
  const { topics, transactions, clock, logger, latency } = options;
  return (body, context) => {
    const began = clock.monotonic();
    const now = clock.now();
    const refusal = requestRefusal(body);
    const waits: Promise<void>[] = [];

    const one = (topicName: string, data: PartitionData): PartitionAnswer => {
      try {
        if (refusal) throw refusal;
        const partition = target(topics, topicName, data.index);
        const { log } = partition;
        const { transactionalId } = body;
        const implicit = context.apiVersion >= FIRST_IMPLICIT_VERSION;
        const admit = (header: BatchHeader): void => {
          if (transactionalId === null) {
            throw refused('INVALID_TXN_STATE', 'A transactional batch came without a transactional id.');
          }
          const key = { topic: topicName, partition: data.index };
          transactions.admit(transactionalId, header, key, implicit);
        };
        const appended = append(partition, data.records, now, context.apiVersion, admit);
        const answer = {
          index: data.index,
          errorCode: ErrorCode.NONE as number,
          baseOffset: appended.baseOffset,
          logAppendTimeMs: partition.topic.settings.appendTime ? appended.appendTime : -1,
          logStartOffset: log.startOffset,
        };
        if (log.highWatermark <= appended.lastOffset || body.acks === 0) {
          const wait = appended.durable.catch((error: unknown) => {
            answer.errorCode = errorCodeOf(error);
            answer.baseOffset = -1;
          });
          if (body.acks !== 0) waits.push(wait);
        }
        return answer;
      } catch (error) {
        // Producers know the fenced one by this name (KIP-588).
        const found = errorCodeOf(error);
        const errorCode = found === ErrorCode.PRODUCER_FENCED ? ErrorCode.INVALID_PRODUCER_EPOCH : found;
        if (errorCode === ErrorCode.UNKNOWN_SERVER_ERROR) logger.error('a produce request failed', { error });
        const errorMessage = error instanceof Error ? error.message : null;
        return { index: data.index, errorCode, baseOffset: -1, errorMessage };
      }
    };

    const response: ResponseInput<0> = {
      responses: body.topicData.map(({ name, partitionData }) => ({
        name,
        partitionResponses: partitionData.map(data => one(name, data)),
      })),
    };
    if (body.acks === 0) return null;
    const done = (): ResponseInput<0> => {
      latency.observe((clock.monotonic() - began) / 1000);
      return response;
    };
    if (waits.length === 0) return done();
    return waits.length === 1 ? (waits[0] as Promise<void>).then(done) : Promise.all(waits).then(done);
  };
}

function requestRefusal(body: RequestBody<0>): Error | null {
  if (body.acks < -1 || body.acks > 1) {
    return refused('INVALID_REQUIRED_ACKS', `acks must be -1, 0 or 1, not ${body.acks}.`);
  }
  return null;
}

function target(topics: Topics, name: string, index: number): Partition {
  const topic = topics.get(name);
  const partition = topic?.partitions[index];
  if (!topic || !partition) throw refused('UNKNOWN_TOPIC_OR_PARTITION', `There is no partition ${name}-${index}.`);
  if (topic.internal) throw refused('INVALID_TOPIC_EXCEPTION', `Clients must not write to the internal topic ${name}.`);
  return partition;
}

function append(
  partition: Partition,
  bytes: Uint8Array | null,
  now: number,
  apiVersion: number,
  admit: (header: BatchHeader) => void,
): Appended {
  const { settings } = partition.topic;
  const headers = validateBatches(bytes, settings, now);
  if (apiVersion < FIRST_ZSTD_VERSION && headers.some(isZstd)) {
    throw refused('UNSUPPORTED_COMPRESSION_TYPE', 'zstd needs Produce version 7 or later.');
  }
  const records = bytes as Uint8Array;
  if (settings.appendTime) stampAppendTime(records, headers, now);
  return partition.append(records, headers, retention(records), () => {
    for (const header of headers) if (isTransactional(header)) admit(header);
  });
}

const isZstd = (header: BatchHeader): boolean => CODECS[header.attributes & ATTRIBUTE.codecMask] === 'zstd';
