import {
  decodeGroupRecordKey,
  encodeGroupRecordKey,
  GroupMetadataValue,
  OffsetCommitValue,
} from '../../protocol/messages/internal-records.ts';
import { decodeVersioned, encodeVersioned } from '../../protocol/versioned.ts';
import type { JournalFormat, JournalRecord } from '../journal.ts';
import type { CommittedOffset } from './committed-offsets.ts';
import type { StoredGroup } from './group.ts';

/** Value versions that every Kafka since 2.3 reads. */
const OFFSET_VALUE_VERSION = 3;
const GROUP_VALUE_VERSION = 3;

export type JournalEntry =
  | { kind: 'offset'; group: string; topic: string; partition: number; committed: CommittedOffset | null }
  | { kind: 'group'; groupId: string; group: StoredGroup | null };

/** The records of `__consumer_offsets`: every change of a group or position, as Kafka writes them. */
export const GROUP_RECORDS: JournalFormat<JournalEntry> = {
  name: '__consumer_offsets',
  encode: entry => recordOf(entry),
  decode: record => entryOf(record),
};

function recordOf(entry: JournalEntry): JournalRecord {
  if (entry.kind === 'offset') {
    const { group, topic, partition, committed } = entry;
    const key = encodeGroupRecordKey({ kind: 'offset', group, topic, partition });
    return { key, value: committed && encodeVersioned(OffsetCommitValue, OFFSET_VALUE_VERSION, committed) };
  }
  const key = encodeGroupRecordKey({ kind: 'group', group: entry.groupId });
  const { group } = entry;
  if (!group) return { key, value: null };
  const value = encodeVersioned(GroupMetadataValue, GROUP_VALUE_VERSION, {
    protocolType: group.protocolType,
    generation: group.generation,
    protocol: group.protocolName,
    leader: group.leader,
    currentStateTimestamp: group.stateTimestamp,
    members: group.members.map(member => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      rebalanceTimeout: member.rebalanceTimeoutMs,
      sessionTimeout: member.sessionTimeoutMs,
      subscription: member.protocols[0]?.metadata ?? new Uint8Array(),
      assignment: member.assignment,
    })),
  });
  return { key, value };
}

/** null for records of kinds that we do not keep. Throws when the bytes make no sense. */
function entryOf({ key, value }: JournalRecord): JournalEntry | null {
  if (!key) return null;
  const name = decodeGroupRecordKey(key);
  if (name.kind === 'other') return null;
  if (name.kind === 'offset') {
    const { group, topic, partition } = name;
    const stored = value && decodeVersioned(OffsetCommitValue, value);
    const committed = stored && {
      offset: stored.offset,
      leaderEpoch: stored.leaderEpoch,
      metadata: stored.metadata,
      commitTimestamp: stored.commitTimestamp,
    };
    return { kind: 'offset', group, topic, partition, committed };
  }
  if (!value) return { kind: 'group', groupId: name.group, group: null };
  const stored = decodeVersioned(GroupMetadataValue, value);
  const group: StoredGroup = {
    groupId: name.group,
    protocolType: stored.protocolType,
    generation: stored.generation,
    protocolName: stored.protocol,
    leader: stored.leader,
    stateTimestamp: stored.currentStateTimestamp,
    members: stored.members.map(member => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      sessionTimeoutMs: member.sessionTimeout,
      rebalanceTimeoutMs: member.rebalanceTimeout < 0 ? member.sessionTimeout : member.rebalanceTimeout,
      protocols: [{ name: stored.protocol ?? '', metadata: Uint8Array.from(member.subscription) }],
      assignment: Uint8Array.from(member.assignment),
    })),
  };
  return { kind: 'group', groupId: name.group, group };
}
