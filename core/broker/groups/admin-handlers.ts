import type { ResponseInput } from '../../protocol/api.ts';
import { ErrorCode } from '../kafka-error.ts';
import type { Handlers } from '../request.ts';
import type { Coordinator } from './coordinator.ts';
import { EMBEDDED_PROTOCOL } from './embedded-members.ts';
import type { Group } from './group.ts';

type Described = ResponseInput<15>['groups'][number];

export interface ListedGroup {
  groupId: string;
  protocolType: string;
  groupState: string;
  groupType: 'classic';
}

/** DescribeGroups, ListGroups, DeleteGroups. */
export function groupAdminHandlers(coordinator: Coordinator): Handlers {
  return {
    15: body => ({ groups: body.groups.map(groupId => describeGroup(coordinator, groupId)) }),
    16: body => {
      const states = new Set(body.statesFilter.map(state => state.toLowerCase()));
      const types = new Set(body.typesFilter.map(type => type.toLowerCase()));
      const groups = listGroups(coordinator).filter(
        group =>
          (states.size === 0 || states.has(group.groupState.toLowerCase())) &&
          (types.size === 0 || types.has(group.groupType)),
      );
      return { errorCode: ErrorCode.NONE, groups };
    },
    42: async body => ({
      results: await Promise.all(
        body.groupsNames.map(async groupId => ({ groupId, errorCode: await coordinator.delete(groupId) })),
      ),
    }),
  };
}

export function listGroups(coordinator: Coordinator): ListedGroup[] {
  return coordinator.list().map(group => {
    const embedded = coordinator.embedded.has(group.id);
    return {
      groupId: group.id,
      protocolType: embedded ? EMBEDDED_PROTOCOL.protocolType : group.protocolType,
      groupState: embedded ? 'Stable' : group.state,
      groupType: 'classic',
    };
  });
}

export function describeGroup(coordinator: Coordinator, groupId: string): Described {
  const group = coordinator.get(groupId);
  const base = { errorCode: ErrorCode.NONE, groupId, protocolType: '', protocolData: '', members: [] };
  // Kafka up to DescribeGroups 5 has no error for a group that it does not know.
  if (!group) return { ...base, groupState: 'Dead' };
  if (coordinator.embedded.has(groupId)) {
    return {
      ...base,
      groupState: 'Stable',
      protocolType: EMBEDDED_PROTOCOL.protocolType,
      protocolData: EMBEDDED_PROTOCOL.protocolName,
      members: coordinator.embedded.describe(groupId),
    };
  }
  return { ...base, groupState: group.state, protocolType: group.protocolType, ...protocolOf(group) };
}

/** Members show what they subscribe to and hold only while the group is stable. */
function protocolOf(group: Group): Pick<Described, 'protocolData' | 'members'> {
  const stable = group.state === 'Stable';
  return {
    protocolData: stable ? (group.protocolName ?? '') : '',
    members: [...group.members.values()].map(member => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      memberMetadata: stable ? member.metadataFor(group.protocolName) : new Uint8Array(),
      memberAssignment: stable ? member.assignment : new Uint8Array(),
    })),
  };
}
