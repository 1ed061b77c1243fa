import { expect, test } from 'vitest';
import { ConsumerAssignment, ConsumerSubscription } from '../../../core/protocol/messages/consumer-protocol.ts';
import {
  decodeGroupRecordKey,
  encodeGroupRecordKey,
  GroupMetadataValue,
  OffsetCommitValue,
} from '../../../core/protocol/messages/internal-records.ts';
import { decodeVersioned, encodeVersioned } from '../../../core/protocol/versioned.ts';

// Keys and values as Apache Kafka 4.3.1 wrote them into __consumer_offsets.
const OFFSET_KEY = '0001000167000363617000000000';
const OFFSET_VALUE_4 = '0004000000000000000300000000036d36000001a1fd19a6400100109f982ad607be4ce4b817c6da6db9eefe';
const GROUP_KEY = '0002000167';
const GROUP_VALUE = [
  '00030008636f6e73756d657200000001000572616e6765002a70726f62652d65656232326131372d613763372d346336342d393331342d383235',
  '323531303036346566000001a1fd19a61100000001002a70726f62652d65656232326131372d613763372d346336342d393331342d38323532353',
  '1303036346566ffff000570726f6265000a2f3132372e302e302e31000027100000271000000013000100000001000363617000000000000000000',
  '000001b0001000000010003636170000000020000000000000001ffffffff',
].join('');

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test("the key of a committed offset is Kafka's, byte for byte", () => {
  const key = { kind: 'offset', group: 'g', topic: 'cap', partition: 0 } as const;
  expect(decodeGroupRecordKey(Buffer.from(OFFSET_KEY, 'hex'))).toEqual(key);
  expect(hex(encodeGroupRecordKey(key))).toBe(OFFSET_KEY);
});

test('a committed offset of version 4 is read with the id of its topic, and written back the same', () => {
  const { version, ...value } = decodeVersioned(OffsetCommitValue, Buffer.from(OFFSET_VALUE_4, 'hex'));
  expect(value).toMatchObject({
    offset: 3,
    leaderEpoch: 0,
    metadata: 'm6',
    topicId: '9f982ad607be4ce4b817c6da6db9eefe',
  });
  expect(hex(encodeVersioned(OffsetCommitValue, version, value))).toBe(OFFSET_VALUE_4);
});

test.each([1, 3])('a committed offset of version %d keeps what that version has', version => {
  const value = { offset: 42, metadata: 'v1:state', commitTimestamp: 1_700_000_000_000, leaderEpoch: 5 };
  const back = decodeVersioned(OffsetCommitValue, encodeVersioned(OffsetCommitValue, version, value));
  expect(back).toMatchObject({ ...value, version, leaderEpoch: version === 3 ? 5 : -1 });
});

test('a group with its members is read and written back the same', () => {
  expect(decodeGroupRecordKey(Buffer.from(GROUP_KEY, 'hex'))).toEqual({ kind: 'group', group: 'g' });
  expect(hex(encodeGroupRecordKey({ kind: 'group', group: 'g' }))).toBe(GROUP_KEY);
  const { version, ...group } = decodeVersioned(GroupMetadataValue, Buffer.from(GROUP_VALUE, 'hex'));
  expect(hex(encodeVersioned(GroupMetadataValue, version, group))).toBe(GROUP_VALUE);
  const assignment = decodeVersioned(ConsumerAssignment, group.members[0]?.assignment ?? new Uint8Array(0));
  expect(assignment.assignedPartitions).toEqual([{ topic: 'cap', partitions: [0, 1] }]);
});

test('a record type from a newer group protocol is told apart without being read', () => {
  expect(decodeGroupRecordKey(Buffer.from('00050001', 'hex'))).toEqual({ kind: 'other', recordType: 5 });
});

test('a subscription from a newer consumer is read as far as we know it', () => {
  const newer = Buffer.concat([encodeVersioned(ConsumerSubscription, 3, { topics: ['a'] }), Buffer.from('later')]);
  newer.writeInt16BE(4, 0);
  expect(decodeVersioned(ConsumerSubscription, newer, 'as-newest')).toMatchObject({ version: 4, topics: ['a'] });
  expect(() => decodeVersioned(ConsumerSubscription, newer)).toThrow(
    expect.objectContaining({ kind: 'invalid', code: 'UNSUPPORTED_VERSION' }),
  );
});
