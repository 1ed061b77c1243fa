import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Histogram } from '../base/metrics.ts';
import { CODECS, type BatchHeader, ATTRIBUTE, isTransactional } from '../log/batch.ts';
import type { Appended } from '../log/log.ts';
import type { RequestBody, ResponseInput } from '../protocol/api.ts';
import { ErrorCode, errorCodeOf, refused } from './kafka-error.ts';
import { type OnProduce, RecordsRefused, screenBatches } from './on-produce.ts';
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
  onProduce: OnProduce;
  clock: Clock;
  logger: Logger;
  latency: Histogram;
}

type Given = ResponseInput<0>['responses'][number]['partitionResponses'][number];
/** Filled in as things come out. */
type PartitionAnswer = { -readonly [K in keyof Given]: Given[K] };
type PartitionData = RequestBody<0>['topicData'][number]['partitionData'][number];

/**
 * Appends in the order of arrival, in this turn, or when the topic's modules are done; answers when all is durable. An ack,
 * also with acks 1, means on disk.
 */
export function produceHandler(options: ProduceOptions): Handler<0> {
  const { topics, transactions, onProduce, clock, logger, latency } = options;
  return (body, context) => {
    const began = clock.monotonic();
    const now = clock.now();
    const refusal = requestRefusal(body);
    const waits: Promise<void>[] = [];

    /** What the producer waits for with acks 0 too, so that it cannot send faster than modules work. */
    const screenings: Promise<void>[] = [];

    const one = (topicName: string, data: PartitionData): PartitionAnswer => {
      const answer: PartitionAnswer = { index: data.index, errorCode: ErrorCode.NONE, baseOffset: -1 };
      try {
        if (refusal) throw refusal;
        const partition = target(topics, topicName, data.index);
        const { topic, log } = partition;
        const { transactionalId } = body;
        const implicit = context.apiVersion >= FIRST_IMPLICIT_VERSION;
        const admit = (header: BatchHeader): void => {
          if (transactionalId === null) {
            throw refused('INVALID_TXN_STATE', 'A transactional batch came without a transactional id.');
          }
          const key = { topic: topicName, partition: data.index };
          transactions.admit(transactionalId, header, key, implicit);
        };
        /** Returns what there is to wait for. */
        const store = (bytes: Uint8Array, headers: BatchHeader[]): Promise<void> | null => {
          const appended = append(partition, bytes, headers, now, admit);
          answer.baseOffset = appended.baseOffset;
          answer.logAppendTimeMs = topic.settings.appendTime ? appended.appendTime : -1;
          answer.logStartOffset = log.startOffset;
          if (log.highWatermark > appended.lastOffset && body.acks !== 0) return null;
          return appended.durable.catch((error: unknown) => fail(answer, error, logger));
        };
        const { bytes, headers } = checked(partition, data.records, now, context.apiVersion);
        if (!onProduce.concerns(topicName)) {
          const wait = store(bytes, headers);
          if (wait) waits.push(wait);
        } else {
          const screened = screenBatches(onProduce, topic, partition, bytes, headers);
          const stored = partition.inLine(screened, result => ({ wait: store(result.bytes, result.headers) }));
          const failed = (error: unknown): void => fail(answer, error, logger);
          screenings.push(stored.then(() => {}, failed));
          waits.push(
            stored.then(
              ({ wait }) => wait ?? undefined,
              () => {},
            ),
          );
        }
      } catch (error) {
        fail(answer, error, logger);
      }
      return answer;
    };

    const response: ResponseInput<0> = {
      responses: body.topicData.map(({ name, partitionData }) => ({
        name,
        partitionResponses: partitionData.map(data => one(name, data)),
      })),
    };
    if (body.acks === 0) return screenings.length > 0 ? Promise.all(screenings).then(() => null) : null;
    waits.push(...screenings);
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

function checked(
  partition: Partition,
  bytes: Uint8Array | null,
  now: number,
  apiVersion: number,
): { bytes: Uint8Array; headers: BatchHeader[] } {
  const headers = validateBatches(bytes, partition.topic.settings, now);
  if (apiVersion < FIRST_ZSTD_VERSION && headers.some(isZstd)) {
    throw refused('UNSUPPORTED_COMPRESSION_TYPE', 'zstd needs Produce version 7 or later.');
  }
  return { bytes: bytes as Uint8Array, headers };
}

function append(
  partition: Partition,
  bytes: Uint8Array,
  headers: BatchHeader[],
  now: number,
  admit: (header: BatchHeader) => void,
): Appended {
  if (partition.topic.settings.appendTime) stampAppendTime(bytes, headers, now);
  return partition.append(bytes, headers, retention(bytes), () => {
    for (const header of headers) if (isTransactional(header)) admit(header);
  });
}

/** Writes into the answer why nothing was stored, or whether it was is unknown. */
function fail(answer: PartitionAnswer, error: unknown, logger: Logger): void {
  // Producers know the fenced one by this name (KIP-588).
  const found = errorCodeOf(error);
  answer.errorCode = found === ErrorCode.PRODUCER_FENCED ? ErrorCode.INVALID_PRODUCER_EPOCH : found;
  answer.baseOffset = -1;
  if (found === ErrorCode.UNKNOWN_SERVER_ERROR) logger.error('a produce request failed', { error });
  answer.errorMessage = error instanceof Error ? error.message : null;
  if (!(error instanceof RecordsRefused)) return;
  answer.recordErrors = error.records.map(({ index, reason }) => {
    return { batchIndex: index, batchIndexErrorMessage: reason };
  });
}

const isZstd = (header: BatchHeader): boolean => CODECS[header.attributes & ATTRIBUTE.codecMask] === 'zstd';
