import {
  array,
  type Decoded,
  type Input,
  int16,
  int32,
  int64,
  int8,
  message,
  records,
  string,
  struct,
  uuid,
} from '../schema.ts';

/** 2^63 - 1 as the nearest number; written as Java's Long.MAX_VALUE. */
const MAX_INT64 = 2 ** 63;

const leaderIdAndEpoch = { leaderId: int32('0+', { default: -1 }), leaderEpoch: int32('0+', { default: -1 }) };
const nodeEndpoint = {
  nodeId: int32(),
  host: string(),
  port: int32(),
  rack: string('0+', { nullable: '0+', default: null }),
};

export const ProduceRequest = message('ProduceRequest', '3-13', '9+', {
  transactionalId: string('3+', { nullable: '3+', default: null }),
  acks: int16(),
  timeoutMs: int32(),
  topicData: array({
    name: string('0-12'),
    topicId: uuid('13+'),
    partitionData: array({
      index: int32(),
      records: records('0+', { nullable: '0+' }),
    }),
  }),
});
export type ProduceRequest = Decoded<typeof ProduceRequest>;

export const ProduceResponse = message('ProduceResponse', '3-13', '9+', {
  responses: array({
    name: string('0-12'),
    topicId: uuid('13+'),
    partitionResponses: array({
      index: int32(),
      errorCode: int16(),
      baseOffset: int64(),
      logAppendTimeMs: int64('2+', { default: -1 }),
      logStartOffset: int64('5+', { default: -1 }),
      recordErrors: array(
        {
          batchIndex: int32(),
          batchIndexErrorMessage: string('0+', { nullable: '0+', default: null }),
        },
        '8+',
      ),
      errorMessage: string('8+', { nullable: '8+', default: null }),
      currentLeader: struct(leaderIdAndEpoch, '10+', { tag: 0 }),
    }),
  }),
  throttleTimeMs: int32('1+'),
  nodeEndpoints: array(nodeEndpoint, '10+', { tag: 0 }),
});
export type ProduceResponse = Decoded<typeof ProduceResponse>;
export type ProduceResponseInput = Input<typeof ProduceResponse>;

export const FetchRequest = message('FetchRequest', '4-18', '12+', {
  clusterId: string('12+', { nullable: '12+', default: null, tag: 0 }),
  replicaId: int32('0-14', { default: -1 }),
  replicaState: struct({ replicaId: int32('0+', { default: -1 }), replicaEpoch: int64('0+', { default: -1 }) }, '15+', {
    tag: 1,
  }),
  maxWaitMs: int32(),
  minBytes: int32(),
  maxBytes: int32('3+', { default: 0x7fffffff }),
  /** 0 read uncommitted, 1 read committed. */
  isolationLevel: int8('4+'),
  sessionId: int32('7+'),
  sessionEpoch: int32('7+', { default: -1 }),
  topics: array({
    topic: string('0-12'),
    topicId: uuid('13+'),
    partitions: array({
      partition: int32(),
      currentLeaderEpoch: int32('9+', { default: -1 }),
      fetchOffset: int64(),
      lastFetchedEpoch: int32('12+', { default: -1 }),
      logStartOffset: int64('5+', { default: -1 }),
      partitionMaxBytes: int32(),
      replicaDirectoryId: uuid('17+', { tag: 0 }),
      highWatermark: int64('18+', { tag: 1, default: MAX_INT64 }),
    }),
  }),
  forgottenTopicsData: array({ topic: string('7-12'), topicId: uuid('13+'), partitions: array(int32(), '7+') }, '7+'),
  rackId: string('11+'),
});
export type FetchRequest = Decoded<typeof FetchRequest>;

export const FetchResponse = message('FetchResponse', '4-18', '12+', {
  throttleTimeMs: int32('1+'),
  errorCode: int16('7+'),
  sessionId: int32('7+'),
  responses: array({
    topic: string('0-12'),
    topicId: uuid('13+'),
    partitions: array({
      partitionIndex: int32(),
      errorCode: int16(),
      highWatermark: int64(),
      lastStableOffset: int64('4+', { default: -1 }),
      logStartOffset: int64('5+', { default: -1 }),
      divergingEpoch: struct({ epoch: int32('0+', { default: -1 }), endOffset: int64('0+', { default: -1 }) }, '12+', {
        tag: 0,
      }),
      currentLeader: struct(leaderIdAndEpoch, '12+', { tag: 1 }),
      snapshotId: struct({ endOffset: int64('0+', { default: -1 }), epoch: int32('0+', { default: -1 }) }, '12+', {
        tag: 2,
      }),
      abortedTransactions: array({ producerId: int64('4+'), firstOffset: int64('4+') }, '4+', { nullable: '4+' }),
      preferredReadReplica: int32('11+', { default: -1 }),
      records: records('0+', { nullable: '0+' }),
    }),
  }),
  nodeEndpoints: array(nodeEndpoint, '16+', { tag: 0 }),
});
export type FetchResponse = Decoded<typeof FetchResponse>;
export type FetchResponseInput = Input<typeof FetchResponse>;

export const ListOffsetsRequest = message('ListOffsetsRequest', '1-11', '6+', {
  replicaId: int32('0+', { default: -1 }),
  isolationLevel: int8('2+'),
  topics: array({
    name: string(),
    partitions: array({
      partitionIndex: int32(),
      currentLeaderEpoch: int32('4+', { default: -1 }),
      /** Milliseconds, or -1 latest, -2 earliest, -3 greatest timestamp (KIP-734), -4 and -5 tiered storage. */
      timestamp: int64(),
    }),
  }),
  timeoutMs: int32('10+'),
});
export type ListOffsetsRequest = Decoded<typeof ListOffsetsRequest>;

export const ListOffsetsResponse = message('ListOffsetsResponse', '1-11', '6+', {
  throttleTimeMs: int32('2+'),
  topics: array({
    name: string(),
    partitions: array({
      partitionIndex: int32(),
      errorCode: int16(),
      timestamp: int64('1+', { default: -1 }),
      offset: int64('1+', { default: -1 }),
      leaderEpoch: int32('4+', { default: -1 }),
    }),
  }),
});
export type ListOffsetsResponse = Decoded<typeof ListOffsetsResponse>;
export type ListOffsetsResponseInput = Input<typeof ListOffsetsResponse>;

export const OffsetForLeaderEpochRequest = message('OffsetForLeaderEpochRequest', '2-4', '4+', {
  replicaId: int32('3+', { default: -2 }),
  topics: array({
    topic: string(),
    partitions: array({
      partition: int32(),
      currentLeaderEpoch: int32('2+', { default: -1 }),
      leaderEpoch: int32(),
    }),
  }),
});
export type OffsetForLeaderEpochRequest = Decoded<typeof OffsetForLeaderEpochRequest>;

export const OffsetForLeaderEpochResponse = message('OffsetForLeaderEpochResponse', '2-4', '4+', {
  throttleTimeMs: int32('2+'),
  topics: array({
    topic: string(),
    partitions: array({
      errorCode: int16(),
      partition: int32(),
      leaderEpoch: int32('1+', { default: -1 }),
      endOffset: int64('0+', { default: -1 }),
    }),
  }),
});
export type OffsetForLeaderEpochResponse = Decoded<typeof OffsetForLeaderEpochResponse>;
export type OffsetForLeaderEpochResponseInput = Input<typeof OffsetForLeaderEpochResponse>;
