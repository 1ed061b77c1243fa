import { array, bool, type Decoded, type Input, int16, int32, int64, message, string } from '../schema.ts';

export const InitProducerIdRequest = message('InitProducerIdRequest', '0-6', '2+', {
  /** null: idempotence only. */
  transactionalId: string('0+', { nullable: '0+' }),
  transactionTimeoutMs: int32(),
  producerId: int64('3+', { default: -1 }),
  producerEpoch: int16('3+', { default: -1 }),
  enable2Pc: bool('6+', { default: false }),
  keepPreparedTxn: bool('6+', { default: false }),
});
export type InitProducerIdRequest = Decoded<typeof InitProducerIdRequest>;

export const InitProducerIdResponse = message('InitProducerIdResponse', '0-6', '2+', {
  throttleTimeMs: int32('0+', { default: 0 }),
  errorCode: int16(),
  producerId: int64('0+', { default: -1 }),
  producerEpoch: int16(),
  ongoingTxnProducerId: int64('6+', { default: -1 }),
  ongoingTxnProducerEpoch: int16('6+', { default: -1 }),
});
export type InitProducerIdResponse = Decoded<typeof InitProducerIdResponse>;
export type InitProducerIdResponseInput = Input<typeof InitProducerIdResponse>;

const transactionTopic = { name: string(), partitions: array(int32()) };

export const AddPartitionsToTxnRequest = message('AddPartitionsToTxnRequest', '0-5', '3+', {
  /** v4+: between brokers only. */
  transactions: array(
    {
      transactionalId: string(),
      producerId: int64(),
      producerEpoch: int16(),
      verifyOnly: bool('4+', { default: false }),
      topics: array(transactionTopic),
    },
    '4+',
  ),
  v3AndBelowTransactionalId: string('0-3'),
  v3AndBelowProducerId: int64('0-3'),
  v3AndBelowProducerEpoch: int16('0-3'),
  v3AndBelowTopics: array(transactionTopic, '0-3'),
});
export type AddPartitionsToTxnRequest = Decoded<typeof AddPartitionsToTxnRequest>;

const transactionTopicResult = {
  name: string(),
  resultsByPartition: array({ partitionIndex: int32(), partitionErrorCode: int16() }),
};

export const AddPartitionsToTxnResponse = message('AddPartitionsToTxnResponse', '0-5', '3+', {
  throttleTimeMs: int32('0+', { default: 0 }),
  errorCode: int16('4+'),
  resultsByTransaction: array({ transactionalId: string(), topicResults: array(transactionTopicResult) }, '4+'),
  resultsByTopicV3AndBelow: array(transactionTopicResult, '0-3'),
});
export type AddPartitionsToTxnResponse = Decoded<typeof AddPartitionsToTxnResponse>;
export type AddPartitionsToTxnResponseInput = Input<typeof AddPartitionsToTxnResponse>;

export const AddOffsetsToTxnRequest = message('AddOffsetsToTxnRequest', '0-4', '3+', {
  transactionalId: string(),
  producerId: int64(),
  producerEpoch: int16(),
  groupId: string(),
});
export type AddOffsetsToTxnRequest = Decoded<typeof AddOffsetsToTxnRequest>;

export const AddOffsetsToTxnResponse = message('AddOffsetsToTxnResponse', '0-4', '3+', {
  throttleTimeMs: int32('0+', { default: 0 }),
  errorCode: int16(),
});
export type AddOffsetsToTxnResponse = Decoded<typeof AddOffsetsToTxnResponse>;
export type AddOffsetsToTxnResponseInput = Input<typeof AddOffsetsToTxnResponse>;

export const EndTxnRequest = message('EndTxnRequest', '0-5', '3+', {
  transactionalId: string(),
  producerId: int64(),
  producerEpoch: int16(),
  committed: bool(),
});
export type EndTxnRequest = Decoded<typeof EndTxnRequest>;

export const EndTxnResponse = message('EndTxnResponse', '0-5', '3+', {
  throttleTimeMs: int32('0+', { default: 0 }),
  errorCode: int16(),
  /** v5+ (KIP-890): the epoch of the next transaction. */
  producerId: int64('5+', { default: -1 }),
  producerEpoch: int16('5+', { default: -1 }),
});
export type EndTxnResponse = Decoded<typeof EndTxnResponse>;
export type EndTxnResponseInput = Input<typeof EndTxnResponse>;

export const TxnOffsetCommitRequest = message('TxnOffsetCommitRequest', '0-5', '3+', {
  transactionalId: string(),
  groupId: string(),
  producerId: int64(),
  producerEpoch: int16(),
  generationId: int32('3+', { default: -1 }),
  memberId: string('3+', { default: '' }),
  groupInstanceId: string('3+', { nullable: '3+', default: null }),
  topics: array({
    name: string(),
    partitions: array({
      partitionIndex: int32(),
      committedOffset: int64(),
      committedLeaderEpoch: int32('2+', { default: -1 }),
      committedMetadata: string('0+', { nullable: '0+' }),
    }),
  }),
});
export type TxnOffsetCommitRequest = Decoded<typeof TxnOffsetCommitRequest>;

export const TxnOffsetCommitResponse = message('TxnOffsetCommitResponse', '0-5', '3+', {
  throttleTimeMs: int32('0+', { default: 0 }),
  topics: array({
    name: string(),
    partitions: array({ partitionIndex: int32(), errorCode: int16() }),
  }),
});
export type TxnOffsetCommitResponse = Decoded<typeof TxnOffsetCommitResponse>;
export type TxnOffsetCommitResponseInput = Input<typeof TxnOffsetCommitResponse>;
