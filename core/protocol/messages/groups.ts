import { array, bool, bytes, type Decoded, type Input, int16, int32, message, string } from '../schema.ts';
import { NOT_ASKED } from './metadata.ts';

export const JoinGroupRequest = message('JoinGroupRequest', '0-9', '6+', {
  groupId: string(),
  sessionTimeoutMs: int32(),
  /** -1 (v0): the session timeout. */
  rebalanceTimeoutMs: int32('1+', { default: -1 }),
  memberId: string(),
  groupInstanceId: string('5+', { nullable: '5+', default: null }),
  protocolType: string(),
  protocols: array({ name: string(), metadata: bytes() }),
  reason: string('8+', { nullable: '8+', default: null }),
});
export type JoinGroupRequest = Decoded<typeof JoinGroupRequest>;

export const JoinGroupResponse = message('JoinGroupResponse', '0-9', '6+', {
  throttleTimeMs: int32('2+'),
  errorCode: int16(),
  generationId: int32('0+', { default: -1 }),
  protocolType: string('7+', { nullable: '7+', default: null }),
  /** Null is allowed from v7 on; before, an error is answered with an empty name. */
  protocolName: string('0+', { nullable: '7+' }),
  leader: string(),
  skipAssignment: bool('9+', { default: false }),
  memberId: string(),
  /** Filled for the leader only. */
  members: array({
    memberId: string(),
    groupInstanceId: string('5+', { nullable: '5+', default: null }),
    metadata: bytes(),
  }),
});
export type JoinGroupResponse = Decoded<typeof JoinGroupResponse>;
export type JoinGroupResponseInput = Input<typeof JoinGroupResponse>;

export const SyncGroupRequest = message('SyncGroupRequest', '0-5', '4+', {
  groupId: string(),
  generationId: int32(),
  memberId: string(),
  groupInstanceId: string('3+', { nullable: '3+', default: null }),
  protocolType: string('5+', { nullable: '5+', default: null }),
  protocolName: string('5+', { nullable: '5+', default: null }),
  assignments: array({ memberId: string(), assignment: bytes() }),
});
export type SyncGroupRequest = Decoded<typeof SyncGroupRequest>;

export const SyncGroupResponse = message('SyncGroupResponse', '0-5', '4+', {
  throttleTimeMs: int32('1+'),
  errorCode: int16(),
  protocolType: string('5+', { nullable: '5+', default: null }),
  protocolName: string('5+', { nullable: '5+', default: null }),
  assignment: bytes(),
});
export type SyncGroupResponse = Decoded<typeof SyncGroupResponse>;
export type SyncGroupResponseInput = Input<typeof SyncGroupResponse>;

export const HeartbeatRequest = message('HeartbeatRequest', '0-4', '4+', {
  groupId: string(),
  generationId: int32(),
  memberId: string(),
  groupInstanceId: string('3+', { nullable: '3+', default: null }),
});
export type HeartbeatRequest = Decoded<typeof HeartbeatRequest>;

export const HeartbeatResponse = message('HeartbeatResponse', '0-4', '4+', {
  throttleTimeMs: int32('1+'),
  errorCode: int16(),
});
export type HeartbeatResponse = Decoded<typeof HeartbeatResponse>;
export type HeartbeatResponseInput = Input<typeof HeartbeatResponse>;

export const LeaveGroupRequest = message('LeaveGroupRequest', '0-5', '4+', {
  groupId: string(),
  memberId: string('0-2'),
  members: array(
    {
      memberId: string(),
      groupInstanceId: string('3+', { nullable: '3+', default: null }),
      reason: string('5+', { nullable: '5+', default: null }),
    },
    '3+',
  ),
});
export type LeaveGroupRequest = Decoded<typeof LeaveGroupRequest>;

export const LeaveGroupResponse = message('LeaveGroupResponse', '0-5', '4+', {
  throttleTimeMs: int32('1+'),
  errorCode: int16(),
  members: array({ memberId: string(), groupInstanceId: string('0+', { nullable: '3+' }), errorCode: int16() }, '3+'),
});
export type LeaveGroupResponse = Decoded<typeof LeaveGroupResponse>;
export type LeaveGroupResponseInput = Input<typeof LeaveGroupResponse>;

export const DescribeGroupsRequest = message('DescribeGroupsRequest', '0-6', '5+', {
  groups: array(string()),
  includeAuthorizedOperations: bool('3+'),
});
export type DescribeGroupsRequest = Decoded<typeof DescribeGroupsRequest>;

export const DescribeGroupsResponse = message('DescribeGroupsResponse', '0-6', '5+', {
  throttleTimeMs: int32('1+'),
  groups: array({
    errorCode: int16(),
    errorMessage: string('6+', { nullable: '6+', default: null }),
    groupId: string(),
    groupState: string(),
    protocolType: string(),
    protocolData: string(),
    members: array({
      memberId: string(),
      groupInstanceId: string('4+', { nullable: '4+', default: null }),
      clientId: string(),
      clientHost: string(),
      memberMetadata: bytes(),
      memberAssignment: bytes(),
    }),
    authorizedOperations: int32('3+', { default: NOT_ASKED }),
  }),
});
export type DescribeGroupsResponse = Decoded<typeof DescribeGroupsResponse>;
export type DescribeGroupsResponseInput = Input<typeof DescribeGroupsResponse>;

export const ListGroupsRequest = message('ListGroupsRequest', '0-5', '3+', {
  statesFilter: array(string(), '4+'),
  typesFilter: array(string(), '5+'),
});
export type ListGroupsRequest = Decoded<typeof ListGroupsRequest>;

export const ListGroupsResponse = message('ListGroupsResponse', '0-5', '3+', {
  throttleTimeMs: int32('1+'),
  errorCode: int16(),
  groups: array({
    groupId: string(),
    protocolType: string(),
    groupState: string('4+'),
    groupType: string('5+'),
  }),
});
export type ListGroupsResponse = Decoded<typeof ListGroupsResponse>;
export type ListGroupsResponseInput = Input<typeof ListGroupsResponse>;

export const DeleteGroupsRequest = message('DeleteGroupsRequest', '0-2', '2+', { groupsNames: array(string()) });
export type DeleteGroupsRequest = Decoded<typeof DeleteGroupsRequest>;

export const DeleteGroupsResponse = message('DeleteGroupsResponse', '0-2', '2+', {
  throttleTimeMs: int32('0+', { default: 0 }),
  results: array({ groupId: string(), errorCode: int16() }),
});
export type DeleteGroupsResponse = Decoded<typeof DeleteGroupsResponse>;
export type DeleteGroupsResponseInput = Input<typeof DeleteGroupsResponse>;
