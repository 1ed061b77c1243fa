import { knownPositions, positionAnswers } from '../groups/committed-positions.ts';
import type { Logger } from '../../base/logger.ts';
import type { ResponseInput } from '../../protocol/api.ts';
import type { Coordinator } from '../groups/coordinator.ts';
import { ErrorCode, errorCodeOf } from '../kafka-error.ts';
import type { ProducerIds } from '../producer-ids.ts';
import type { Handlers } from '../request.ts';
import type { Topics } from '../topics.ts';
import type { Transactions } from './coordinator.ts';
import type { PartitionKey, ProducerIdentity } from './transaction.ts';

/* From these versions on clients know PRODUCER_FENCED (KIP-588). */
const INIT_FENCED_FROM = 4;
const FENCED_FROM = 2;
/** AddPartitionsToTxn from here on carries many transactions; brokers use it among each other. */
const BATCHED_ADD_FROM = 4;
/* From these versions on clients know that transactions bump the epoch, and add their partitions by writing (KIP-890). */
const BUMPS_FROM = 5;
const IMPLICIT_OFFSETS_FROM = 5;

export interface TransactionHandlersOptions {
  transactions: Transactions;
  producerIds: ProducerIds;
  groups: Coordinator;
  topics: Topics;
  logger: Logger;
}

interface AskedTopic {
  name: string;
  partitions: readonly number[];
}
type TopicResults = NonNullable<ResponseInput<24>['resultsByTopicV3AndBelow']>;

/** InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit. */
export function transactionHandlers(options: TransactionHandlersOptions): Handlers {
  const { transactions, producerIds, groups, topics, logger } = options;

  const codeOf = (error: unknown, knowsFenced: boolean): number => {
    const code = errorCodeOf(error);
    if (code === ErrorCode.UNKNOWN_SERVER_ERROR) logger.error('a transaction request failed', { error });
    // What clients retry at the coordinator.
    if (code === ErrorCode.KAFKA_STORAGE_ERROR) return ErrorCode.COORDINATOR_NOT_AVAILABLE;
    return code === ErrorCode.PRODUCER_FENCED && !knowsFenced ? ErrorCode.INVALID_PRODUCER_EPOCH : code;
  };

  const attempt = async (action: () => Promise<unknown>, knowsFenced: boolean): Promise<number> => {
    try {
      await action();
      return ErrorCode.NONE;
    } catch (error) {
      return codeOf(error, knowsFenced);
    }
  };

  /** All partitions of one request are added, or none is. */
  const add = async (
    transactionalId: string,
    producer: ProducerIdentity,
    asked: readonly AskedTopic[],
    knowsFenced: boolean,
  ): Promise<TopicResults> => {
    const exists = ({ topic, partition }: PartitionKey): boolean => {
      const found = topics.get(topic);
      return found?.partitions[partition] !== undefined && !found.internal;
    };
    const keys = asked.flatMap(({ name, partitions }) => partitions.map(partition => ({ topic: name, partition })));
    const allExist = keys.every(exists);
    const code = allExist
      ? await attempt(() => transactions.add(transactionalId, producer, keys), knowsFenced)
      : ErrorCode.OPERATION_NOT_ATTEMPTED;
    return asked.map(({ name, partitions }) => ({
      name,
      resultsByPartition: partitions.map(partition => ({
        partitionIndex: partition,
        partitionErrorCode: exists({ topic: name, partition }) ? code : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
      })),
    }));
  };

  const verify = (transactionalId: string, producer: ProducerIdentity, asked: readonly AskedTopic[]): TopicResults =>
    asked.map(({ name, partitions }) => ({
      name,
      resultsByPartition: partitions.map(partitionIndex => {
        let partitionErrorCode: number = ErrorCode.NONE;
        try {
          transactions.admit(transactionalId, producer, { topic: name, partition: partitionIndex }, false);
        } catch (error) {
          partitionErrorCode = errorCodeOf(error);
        }
        return { partitionIndex, partitionErrorCode };
      }),
    }));

  return {
    22: async (body, { apiVersion }) => {
      const failed = { producerId: -1, producerEpoch: -1 };
      try {
        const { transactionalId, transactionTimeoutMs, producerId, producerEpoch } = body;
        if (transactionalId === null) {
          return { errorCode: ErrorCode.NONE, producerId: await producerIds.take(), producerEpoch: 0 };
        }
        if (producerId === -1 ? producerEpoch !== -1 : producerEpoch === -1) {
          return { errorCode: ErrorCode.INVALID_REQUEST, ...failed };
        }
        const expected = producerId === -1 ? null : { producerId, producerEpoch };
        const given = await transactions.init(transactionalId, transactionTimeoutMs, expected);
        return { errorCode: ErrorCode.NONE, ...given };
      } catch (error) {
        return { errorCode: codeOf(error, apiVersion >= INIT_FENCED_FROM), ...failed };
      }
    },
    24: async (body, { apiVersion }) => {
      if (apiVersion < BATCHED_ADD_FROM) {
        const producer = {
          producerId: body.v3AndBelowProducerId,
          producerEpoch: body.v3AndBelowProducerEpoch,
        };
        const knowsFenced = apiVersion >= FENCED_FROM;
        const asked = body.v3AndBelowTopics;
        return {
          errorCode: ErrorCode.NONE,
          resultsByTransaction: [],
          resultsByTopicV3AndBelow: await add(body.v3AndBelowTransactionalId, producer, asked, knowsFenced),
        };
      }
      const resultsByTransaction = await Promise.all(
        body.transactions.map(async ({ transactionalId, topics: asked, verifyOnly, ...producer }) => ({
          transactionalId,
          topicResults: verifyOnly
            ? verify(transactionalId, producer, asked)
            : await add(transactionalId, producer, asked, true),
        })),
      );
      return { errorCode: ErrorCode.NONE, resultsByTransaction, resultsByTopicV3AndBelow: [] };
    },
    25: async (body, { apiVersion }) => {
      const knowsFenced = apiVersion >= FENCED_FROM;
      if (body.groupId === '') return { errorCode: ErrorCode.INVALID_GROUP_ID };
      const adding = (): Promise<void> => transactions.add(body.transactionalId, body, [groups.journalKey]);
      return { errorCode: await attempt(adding, knowsFenced) };
    },
    26: async (body, { apiVersion }) => {
      const { transactionalId, producerId, producerEpoch } = body;
      try {
        const outcome = body.committed ? 'commit' : 'abort';
        const bumps = apiVersion >= BUMPS_FROM;
        const request = { transactionalId, producerId, producerEpoch, outcome, bumps } as const;
        return { errorCode: ErrorCode.NONE, ...(await transactions.endRequested(request)) };
      } catch (error) {
        return { errorCode: codeOf(error, apiVersion >= FENCED_FROM), producerId: -1, producerEpoch: -1 };
      }
    },
    28: async (body, { apiVersion }) => {
      const { transactionalId, groupId, memberId, groupInstanceId, generationId } = body;
      const positions = knownPositions(body.topics, topics);
      let codes: number[];
      try {
        const implicit = apiVersion >= IMPLICIT_OFFSETS_FROM;
        // As in Kafka: with nothing to write no transaction begins, of which a crash would leave no trace.
        if (positions.length > 0) transactions.admit(transactionalId, body, groups.journalKey, implicit);
        codes = await groups.commitInTransaction(groupId, { memberId, groupInstanceId, generationId }, body, positions);
      } catch (error) {
        const code = codeOf(error, false);
        codes = positions.map(() => code);
      }
      return positionAnswers(body.topics, positions, codes);
    },
  };
}
