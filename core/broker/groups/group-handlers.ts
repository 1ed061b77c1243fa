import type { RequestContext, Handlers } from '../request.ts';
import { ErrorCode } from '../kafka-error.ts';
import type { Coordinator } from './coordinator.ts';
import type { ClientInfo } from './member.ts';

/** JoinGroup from this version on makes new dynamic members come back with the id they were given (KIP-394). */
const MEMBER_ID_REQUIRED_FROM = 4;
const NULL_PROTOCOL_FROM = 7;
const SKIP_ASSIGNMENT_FROM = 9;
const BATCHED_LEAVE_FROM = 3;

/** JoinGroup, SyncGroup, Heartbeat, LeaveGroup. */
export function groupHandlers(coordinator: Coordinator): Handlers {
  return {
    11: async (body, context) => {
      const reply = await coordinator.join(
        {
          groupId: body.groupId,
          sessionTimeoutMs: body.sessionTimeoutMs,
          rebalanceTimeoutMs: body.rebalanceTimeoutMs < 0 ? body.sessionTimeoutMs : body.rebalanceTimeoutMs,
          memberId: body.memberId,
          groupInstanceId: body.groupInstanceId,
          protocolType: body.protocolType,
          protocols: body.protocols,
          requireMemberId: context.apiVersion >= MEMBER_ID_REQUIRED_FROM,
          maySkipAssignment: context.apiVersion >= SKIP_ASSIGNMENT_FROM,
        },
        clientOf(context),
      );
      const nameless = context.apiVersion < NULL_PROTOCOL_FROM ? '' : null;
      return { ...reply, protocolName: reply.protocolName ?? nameless };
    },
    14: body => coordinator.sync(body.groupId, body),
    12: body => ({ errorCode: coordinator.heartbeat(body.groupId, body) }),
    13: (body, context) => {
      if (body.groupId === '') return { errorCode: ErrorCode.INVALID_GROUP_ID, members: [] };
      if (context.apiVersion < BATCHED_LEAVE_FROM) {
        const errorCode = coordinator.leave(body.groupId, { memberId: body.memberId, groupInstanceId: null });
        return { errorCode, members: [] };
      }
      return {
        errorCode: ErrorCode.NONE,
        members: body.members.map(({ memberId, groupInstanceId }) => ({
          memberId,
          groupInstanceId,
          errorCode: coordinator.leave(body.groupId, { memberId, groupInstanceId }),
        })),
      };
    },
  };
}

function clientOf({ clientId, connection }: RequestContext): ClientInfo {
  return { clientId, clientHost: connection.clientHost };
}
