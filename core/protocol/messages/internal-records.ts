import { decode } from '../codec.ts';
import { malformed, Reader } from '../reader.ts';
import { array, bytes, type Decoded, int16, int32, int64, int8, message, string, uuid } from '../schema.ts';
import { encodeVersioned } from '../versioned.ts';

/*
 * Records of Kafka's internal topics, so that offsets can be moved in and out and Kafka's own tools can read ours.
 * Each key begins with an int16 that says what the record is (0 and 1: a committed offset, 2: a group; on
 * __transaction_state 0), each value with an int16 version. A null value removes what the key names.
 */

export const OffsetCommitKey = message('OffsetCommitKey', '0-1', 'none', {
  group: string(),
  topic: string(),
  partition: int32(),
});
export type OffsetCommitKey = Decoded<typeof OffsetCommitKey>;

export const OffsetCommitValue = message('OffsetCommitValue', '0-4', '4+', {
  offset: int64(),
  leaderEpoch: int32('3+', { default: -1 }),
  metadata: string(),
  commitTimestamp: int64(),
  expireTimestamp: int64('1', { default: -1 }),
  topicId: uuid('4+', { tag: 0 }),
});
export type OffsetCommitValue = Decoded<typeof OffsetCommitValue>;

export const GroupMetadataKey = message('GroupMetadataKey', '2', 'none', { group: string() });
export type GroupMetadataKey = Decoded<typeof GroupMetadataKey>;

export const GroupMetadataValue = message('GroupMetadataValue', '0-4', '4+', {
  protocolType: string(),
  generation: int32(),
  protocol: string('0+', { nullable: '0+' }),
  leader: string('0+', { nullable: '0+' }),
  currentStateTimestamp: int64('2+', { default: -1 }),
  members: array({
    memberId: string(),
    groupInstanceId: string('3+', { nullable: '3+', default: null }),
    clientId: string(),
    clientHost: string(),
    rebalanceTimeout: int32('1+', { default: -1 }),
    sessionTimeout: int32(),
    subscription: bytes(),
    assignment: bytes(),
  }),
});
export type GroupMetadataValue = Decoded<typeof GroupMetadataValue>;

export const TransactionLogKey = message('TransactionLogKey', '0', 'none', { transactionalId: string() });
export type TransactionLogKey = Decoded<typeof TransactionLogKey>;

export const TransactionLogValue = message('TransactionLogValue', '0-1', '1+', {
  producerId: int64(),
  previousProducerId: int64('1+', { tag: 0, default: -1 }),
  nextProducerId: int64('1+', { tag: 1, default: -1 }),
  producerEpoch: int16(),
  nextProducerEpoch: int16('1+', { tag: 3, default: -1 }),
  transactionTimeoutMs: int32(),
  /** 0 empty, 1 ongoing, 2 prepare commit, 3 prepare abort, 4 complete commit, 5 complete abort, 6 dead. */
  transactionStatus: int8(),
  transactionPartitions: array({ topic: string(), partitionIds: array(int32()) }, '0+', { nullable: '0+' }),
  transactionLastUpdateTimestampMs: int64(),
  transactionStartTimestampMs: int64(),
  clientTransactionVersion: int16('1+', { tag: 2, default: 0 }),
});
export type TransactionLogValue = Decoded<typeof TransactionLogValue>;

/** What a key of __consumer_offsets names. Other record types (KIP-848's and later) are told apart but not read. */
export type GroupRecordKey =
  | { readonly kind: 'offset'; readonly group: string; readonly topic: string; readonly partition: number }
  | { readonly kind: 'group'; readonly group: string }
  | { readonly kind: 'other'; readonly recordType: number };

/** Kafka writes the key of an offset with 1 in front, that of a group with 2. */
export function encodeGroupRecordKey(key: Exclude<GroupRecordKey, { kind: 'other' }>): Uint8Array {
  return key.kind === 'offset' ? encodeVersioned(OffsetCommitKey, 1, key) : encodeVersioned(GroupMetadataKey, 2, key);
}

/** Kind `invalid`, MALFORMED_REQUEST when the key cannot be read. */
export function decodeGroupRecordKey(key: Uint8Array): GroupRecordKey {
  if (key.length < 2) throw malformed('a key of __consumer_offsets begins with its type');
  const recordType = new Reader(key).int16();
  if (recordType === 0 || recordType === 1) return { kind: 'offset', ...decode(OffsetCommitKey, recordType, key, 2) };
  if (recordType === 2) return { kind: 'group', ...decode(GroupMetadataKey, 2, key, 2) };
  return { kind: 'other', recordType };
}
