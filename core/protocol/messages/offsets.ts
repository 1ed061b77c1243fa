import { array, bool, type Decoded, type Input, int16, int32, int64, message, string, uuid } from '../schema.ts';

export const OffsetCommitRequest = message('OffsetCommitRequest', '2-10', '8+', {
  groupId: string(),
  /** -1 together with an empty member id: a commit from outside the group's protocol. */
  generationIdOrMemberEpoch: int32('1+', { default: -1 }),
  memberId: string('1+'),
  groupInstanceId: string('7+', { nullable: '7+', default: null }),
  retentionTimeMs: int64('2-4', { default: -1 }),
  topics: array({
    name: string('0-9'),
    topicId: uuid('10+'),
    partitions: array({
      partitionIndex: int32(),
      committedOffset: int64(),
      committedLeaderEpoch: int32('6+', { default: -1 }),
      committedMetadata: string('0+', { nullable: '0+' }),
    }),
  }),
});
export type OffsetCommitRequest = Decoded<typeof OffsetCommitRequest>;

export const OffsetCommitResponse = message('OffsetCommitResponse', '2-10', '8+', {
  throttleTimeMs: int32('3+'),
  topics: array({
    name: string('0-9'),
    topicId: uuid('10+'),
    partitions: array({ partitionIndex: int32(), errorCode: int16() }),
  }),
});
export type OffsetCommitResponse = Decoded<typeof OffsetCommitResponse>;
export type OffsetCommitResponseInput = Input<typeof OffsetCommitResponse>;

export const OffsetFetchRequest = message('OffsetFetchRequest', '1-10', '6+', {
  groupId: string('0-7'),
  /** null (v2+): all topics of the group. */
  topics: array({ name: string(), partitionIndexes: array(int32()) }, '0-7', { nullable: '2-7' }),
  groups: array(
    {
      groupId: string(),
      memberId: string('9+', { nullable: '9+', default: null }),
      memberEpoch: int32('9+', { default: -1 }),
      topics: array({ name: string('8-9'), topicId: uuid('10+'), partitionIndexes: array(int32()) }, '0+', {
        nullable: '8+',
      }),
    },
    '8+',
  ),
  requireStable: bool('7+', { default: false }),
});
export type OffsetFetchRequest = Decoded<typeof OffsetFetchRequest>;

const fetchedPartition = {
  partitionIndex: int32(),
  committedOffset: int64(),
  committedLeaderEpoch: int32('5+', { default: -1 }),
  metadata: string('0+', { nullable: '0+' }),
  errorCode: int16(),
};

export const OffsetFetchResponse = message('OffsetFetchResponse', '1-10', '6+', {
  throttleTimeMs: int32('3+'),
  topics: array({ name: string(), partitions: array(fetchedPartition) }, '0-7'),
  errorCode: int16('2-7', { default: 0 }),
  groups: array(
    {
      groupId: string(),
      topics: array({ name: string('8-9'), topicId: uuid('10+'), partitions: array(fetchedPartition) }),
      errorCode: int16('8+', { default: 0 }),
    },
    '8+',
  ),
});
export type OffsetFetchResponse = Decoded<typeof OffsetFetchResponse>;
export type OffsetFetchResponseInput = Input<typeof OffsetFetchResponse>;
