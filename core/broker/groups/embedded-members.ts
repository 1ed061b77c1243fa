import {
  CONSUMER_PROTOCOL_TYPE,
  ConsumerAssignment,
  ConsumerSubscription,
} from '../../protocol/messages/consumer-protocol.ts';
import { encodeVersioned } from '../../protocol/versioned.ts';

/** A pipeline, sink or source of this process that holds partitions of a group. */
export interface EmbeddedMember {
  memberId: string;
  partitions: readonly { topic: string; partition: number }[];
}

export interface DescribedMember {
  memberId: string;
  groupInstanceId: null;
  clientId: string;
  clientHost: string;
  memberMetadata: Uint8Array;
  memberAssignment: Uint8Array;
}

/** Members in this process do not speak the group protocol; tools still see them, as consumers of the group. */
export const EMBEDDED_PROTOCOL = { protocolType: CONSUMER_PROTOCOL_TYPE, protocolName: 'embedded' } as const;

export class EmbeddedMembers {
  private readonly groups = new Map<string, readonly EmbeddedMember[]>();

  set(groupId: string, members: readonly EmbeddedMember[]): void {
    if (members.length === 0) this.groups.delete(groupId);
    else this.groups.set(groupId, members);
  }

  has(groupId: string): boolean {
    return this.groups.has(groupId);
  }

  of(groupId: string): readonly EmbeddedMember[] {
    return this.groups.get(groupId) ?? [];
  }

  describe(groupId: string): DescribedMember[] {
    return this.of(groupId).map(({ memberId, partitions }) => {
      const topics = Map.groupBy(partitions, ({ topic }) => topic);
      return {
        memberId,
        groupInstanceId: null,
        clientId: 'millstream',
        clientHost: '/embedded',
        memberMetadata: encodeVersioned(ConsumerSubscription, 0, { topics: [...topics.keys()] }),
        memberAssignment: encodeVersioned(ConsumerAssignment, 0, {
          assignedPartitions: [...topics].map(([topic, own]) => ({
            topic,
            partitions: own.map(({ partition }) => partition),
          })),
        }),
      };
    });
  }
}
