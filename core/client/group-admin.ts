import { ApiKey, type ResponseBody } from '../protocol/api.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import { ConsumerAssignment, CONSUMER_PROTOCOL_TYPE } from '../protocol/messages/consumer-protocol.ts';
import { decodeVersioned } from '../protocol/versioned.ts';
import { BrokerError, refuse } from './broker-error.ts';
import type { Cluster } from './cluster.ts';
import { committedOffsets } from './group-offsets.ts';
import { listOffsets } from './list-offsets.ts';
import { keyOf, type TopicPartition } from './topic-partition.ts';

export interface ListedGroup {
  group: string;
  protocolType: string;
  /** Stable, Empty, ...; '' when the broker is too old to tell. */
  state: string;
}

export interface GroupMemberDescription {
  memberId: string;
  instanceId: string | null;
  clientId: string;
  host: string;
  partitions: TopicPartition[];
}

export interface GroupPosition extends TopicPartition {
  /** Null: nothing committed (the partition is only assigned). */
  committed: number | null;
  metadata: string | null;
  /** End of the log; null when the topic is gone. */
  end: number | null;
  /** Records between the two; null when one of them is not known. */
  lag: number | null;
  /** Who reads it now. */
  memberId: string | null;
}

export interface GroupDescription extends ListedGroup {
  /** The assignor. */
  protocol: string;
  members: GroupMemberDescription[];
  /** By topic and partition. */
  positions: GroupPosition[];
}

type Described = ResponseBody<typeof ApiKey.DescribeGroups>['groups'][number];

/** Consumer groups of a cluster. Every call is retried while that makes sense; refusals are BrokerErrors. */
export class GroupAdmin {
  private readonly cluster: Cluster;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  /** All groups of all brokers, by name. */
  async list(): Promise<ListedGroup[]> {
    const groups = await this.cluster.retrying(async () => {
      const { brokers } = await this.cluster.metadata([]);
      const answers = await Promise.all(
        brokers.map(async ({ nodeId }) => {
          const connection = await this.cluster.broker(nodeId);
          const answer = await connection.send(ApiKey.ListGroups, {});
          refuse(answer.errorCode, 'the list of groups');
          return answer.groups;
        }),
      );
      return answers.flat();
    });
    return groups
      .map(one => ({ group: one.groupId, protocolType: one.protocolType, state: one.groupState }))
      .toSorted((a, b) => (a.group < b.group ? -1 : 1));
  }

  /** Members, positions and lag. Throws BrokerError GROUP_ID_NOT_FOUND. */
  async describe(group: string): Promise<GroupDescription> {
    const described = await this.cluster.retrying(async () => {
      const answer = await this.cluster.toCoordinator(group, ApiKey.DescribeGroups, { groups: [group] });
      const found = answer.groups[0];
      refuse(found?.errorCode ?? ErrorCode.GROUP_ID_NOT_FOUND, `group ${group}`, found?.errorMessage || null);
      return found as Described;
    });
    const members = described.members.map(member => ({
      memberId: member.memberId,
      instanceId: member.groupInstanceId,
      clientId: member.clientId,
      host: member.clientHost,
      partitions: assignedTo(described, member.memberAssignment),
    }));
    const positions = await this.positions(group, members);
    // Older brokers describe a group that they have never heard of as dead.
    if (described.groupState === 'Dead' && positions.length === 0) {
      throw new BrokerError(ErrorCode.GROUP_ID_NOT_FOUND, `group ${group}`);
    }
    return {
      group,
      protocolType: described.protocolType,
      state: described.groupState,
      protocol: described.protocolData,
      members,
      positions,
    };
  }

  /** Removes a group without members, with its positions. */
  async delete(group: string): Promise<void> {
    await this.cluster.retrying(async () => {
      const answer = await this.cluster.toCoordinator(group, ApiKey.DeleteGroups, { groupsNames: [group] });
      refuse(answer.results[0]?.errorCode ?? ErrorCode.UNKNOWN_SERVER_ERROR, `group ${group}`);
    });
  }

  private async positions(group: string, members: readonly GroupMemberDescription[]): Promise<GroupPosition[]> {
    const committed = await committedOffsets(this.cluster, group, null);
    const owners = new Map(members.flatMap(one => one.partitions.map(part => [keyOf(part), one.memberId] as const)));
    const assigned = members.flatMap(one => one.partitions);
    const all = new Map([...assigned, ...committed.values()].map(one => [keyOf(one), one]));
    const partitions = Array.from(all.values(), ({ topic, partition }) => ({ topic, partition }));
    const ends = await this.ends(partitions);
    return partitions
      .map(one => {
        const position = committed.get(keyOf(one));
        const end = ends.get(keyOf(one)) ?? null;
        const lag = position && end !== null ? Math.max(0, end - position.offset) : null;
        return {
          ...one,
          committed: position?.offset ?? null,
          metadata: position?.metadata ?? null,
          end,
          lag,
          memberId: owners.get(keyOf(one)) ?? null,
        };
      })
      .toSorted((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1));
  }

  /** Ends of the logs that there still are: a group may hold positions of topics that were deleted. */
  private async ends(partitions: readonly TopicPartition[]): Promise<Map<string, number>> {
    const topics = [...new Set(partitions.map(one => one.topic))];
    if (topics.length === 0) return new Map();
    const { topics: found } = await this.cluster.retrying(() => this.cluster.metadata(topics));
    const counts = new Map(found.map(topic => [topic.name, topic.partitions.length]));
    const there = partitions.filter(one => one.partition < (counts.get(one.topic) ?? 0));
    return listOffsets(this.cluster, there, 'latest');
  }
}

function assignedTo(described: Described, assignment: Uint8Array): TopicPartition[] {
  if (described.protocolType !== CONSUMER_PROTOCOL_TYPE || assignment.length === 0) return [];
  const { assignedPartitions } = decodeVersioned(ConsumerAssignment, assignment, 'as-newest');
  return assignedPartitions.flatMap(({ topic, partitions }) => partitions.map(partition => ({ topic, partition })));
}
