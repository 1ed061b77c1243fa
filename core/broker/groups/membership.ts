import { ErrorCode } from '../kafka-error.ts';
import type { Group } from './group.ts';
import { type ClientInfo, type JoinReply, Member, type MemberProtocol, type SyncReply } from './member.ts';

/* What a member may ask for in which state of its group. Every answer carries one of Kafka's error codes. */

export interface JoinRequest {
  groupId: string;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  memberId: string;
  groupInstanceId: string | null;
  protocolType: string;
  protocols: readonly MemberProtocol[];
  /** JoinGroup 4+: a new dynamic member first gets an id and comes back with it (KIP-394). */
  requireMemberId: boolean;
  /** JoinGroup 9+: a returning static leader may be told to leave the assignment as it is (KIP-814). */
  maySkipAssignment: boolean;
}

export interface SyncRequest {
  generationId: number;
  memberId: string;
  groupInstanceId: string | null;
  protocolType: string | null;
  protocolName: string | null;
  assignments: readonly { memberId: string; assignment: Uint8Array }[];
}

export interface MemberIdentity {
  memberId: string;
  groupInstanceId: string | null;
}

export function join(group: Group, request: JoinRequest, client: ClientInfo): Promise<JoinReply> | JoinReply {
  const { memberId, groupInstanceId } = request;
  if (group.state === 'Dead') return group.joinError(ErrorCode.COORDINATOR_NOT_AVAILABLE, memberId);
  if (!group.accepts(request.protocolType, request.protocols) && !isOnlyMember(group, request)) {
    return group.joinError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, memberId);
  }
  if (memberId === '') {
    return groupInstanceId === null ? joinNew(group, request, client) : joinStatic(group, request, client);
  }
  if (group.pending.has(memberId)) {
    group.pending.get(memberId)?.cancel();
    group.pending.delete(memberId);
    return admit(group, memberId, request, client);
  }
  const member = identify(group, request);
  return typeof member === 'number' ? group.joinError(member, memberId) : rejoin(group, member, request);
}

/** A group of one may change what it speaks. */
function isOnlyMember(group: Group, request: JoinRequest): boolean {
  return group.members.size === 1 && group.members.has(request.memberId) && request.protocols.length > 0;
}

function joinNew(group: Group, request: JoinRequest, client: ClientInfo): Promise<JoinReply> | JoinReply {
  const memberId = group.host.newMemberId(client.clientId);
  if (!request.requireMemberId) return admit(group, memberId, request, client);
  group.addPending(memberId, request.sessionTimeoutMs);
  return group.joinError(ErrorCode.MEMBER_ID_REQUIRED, memberId);
}

function admit(group: Group, memberId: string, request: JoinRequest, client: ClientInfo): Promise<JoinReply> {
  const member = new Member({
    memberId,
    groupInstanceId: request.groupInstanceId,
    clientId: client.clientId,
    clientHost: client.clientHost,
    sessionTimeoutMs: request.sessionTimeoutMs,
    rebalanceTimeoutMs: request.rebalanceTimeoutMs,
    protocols: owned(request.protocols),
    assignment: new Uint8Array(),
  });
  if (group.members.size === 0) group.protocolType = request.protocolType;
  group.insert(member);
  return hold(group, member, 'a new member joins');
}

/** A known instance that comes back without its id takes over the place of its predecessor (KIP-345). */
function joinStatic(group: Group, request: JoinRequest, client: ClientInfo): Promise<JoinReply> | JoinReply {
  const instance = request.groupInstanceId ?? '';
  const oldId = group.statics.get(instance);
  const member = oldId === undefined ? undefined : group.members.get(oldId);
  const memberId = group.host.newMemberId(instance);
  if (!member || oldId === undefined) return admit(group, memberId, request, client);

  group.answerJoin(member, group.joinError(ErrorCode.FENCED_INSTANCE_ID, oldId));
  group.answerSync(member, ErrorCode.FENCED_INSTANCE_ID);
  group.members.delete(oldId);
  group.synced(member);
  member.memberId = memberId;
  group.insert(member);
  const wasLeader = group.leader === oldId;
  if (wasLeader) group.leader = memberId;
  update(member, request);
  group.keepAlive(member);

  if (group.state !== 'Stable' || group.selectProtocol() !== group.protocolName) {
    return hold(group, member, 'a static member comes back');
  }
  const generation = group.generation;
  return group.host.save(group).then(
    () => {
      if (group.generation !== generation) return group.joinError(ErrorCode.REBALANCE_IN_PROGRESS, memberId);
      const skip = wasLeader && request.maySkipAssignment;
      // Old clients that lead must not assign again, as a stable group would not spread it: they are shown the
      // leader's old id.
      return {
        ...group.joined(member),
        leader: wasLeader && !skip ? oldId : (group.leader ?? ''),
        skipAssignment: skip,
        members: skip ? group.memberList() : [],
      };
    },
    () => group.joinError(ErrorCode.COORDINATOR_NOT_AVAILABLE, memberId),
  );
}

function rejoin(group: Group, member: Member, request: JoinRequest): Promise<JoinReply> | JoinReply {
  const unchanged = member.matches(request.protocols);
  const leads = group.leader === member.memberId;
  switch (group.state) {
    case 'CompletingRebalance':
      // Its first answer may have been lost.
      if (unchanged) return group.joined(member);
      break;
    case 'Stable':
      if (unchanged && !leads) return group.joined(member);
      break;
    case 'PreparingRebalance':
      break;
    case 'Empty':
    case 'Dead':
      return group.joinError(ErrorCode.UNKNOWN_MEMBER_ID, member.memberId);
  }
  if (group.members.size === 1) group.protocolType = request.protocolType;
  update(member, request);
  return hold(group, member, leads ? 'the leader joins again' : 'a member joins with other metadata');
}

function update(member: Member, request: JoinRequest): void {
  member.protocols = owned(request.protocols);
  member.sessionTimeoutMs = request.sessionTimeoutMs;
  member.rebalanceTimeoutMs = request.rebalanceTimeoutMs;
}

/** Metadata outlives the frame that it came in. */
function owned(protocols: readonly MemberProtocol[]): MemberProtocol[] {
  return protocols.map(({ name, metadata }) => ({ name, metadata: Uint8Array.from(metadata) }));
}

/** Keeps the join until the rebalance is through with this phase. */
function hold(group: Group, member: Member, why: string): Promise<JoinReply> {
  // A second join of the same member takes the place of the first.
  group.answerJoin(member, group.joinError(ErrorCode.REBALANCE_IN_PROGRESS, member.memberId));
  return new Promise(resolve => {
    member.joinReply = resolve;
    group.keepAlive(member);
    if (group.state === 'PreparingRebalance') group.tryCompleteJoin();
    else group.prepareRebalance(why);
  });
}

export function sync(group: Group, request: SyncRequest): Promise<SyncReply> | SyncReply {
  const member = identify(group, request);
  if (typeof member === 'number') return group.syncReplyFor(null, member);
  const fail = (errorCode: number): SyncReply => group.syncReplyFor(null, errorCode);
  if (request.generationId !== group.generation) return fail(ErrorCode.ILLEGAL_GENERATION);
  if (request.protocolType !== null && request.protocolType !== group.protocolType) {
    return fail(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
  }
  if (request.protocolName !== null && request.protocolName !== group.protocolName) {
    return fail(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
  }
  switch (group.state) {
    case 'Empty':
    case 'Dead':
      return fail(ErrorCode.UNKNOWN_MEMBER_ID);
    case 'PreparingRebalance':
      return fail(ErrorCode.REBALANCE_IN_PROGRESS);
    case 'Stable':
      group.synced(member);
      group.keepAlive(member);
      return group.syncReplyFor(member, ErrorCode.NONE);
    case 'CompletingRebalance':
      break;
  }
  group.answerSync(member, ErrorCode.REBALANCE_IN_PROGRESS);
  return new Promise(resolve => {
    member.syncReply = resolve;
    group.keepAlive(member);
    group.synced(member);
    if (member.memberId === group.leader) assign(group, request.assignments);
  });
}

function assign(group: Group, assignments: SyncRequest['assignments']): void {
  const parts = new Map(assignments.map(({ memberId, assignment }) => [memberId, Uint8Array.from(assignment)]));
  for (const member of group.members.values()) member.assignment = parts.get(member.memberId) ?? new Uint8Array();
  const generation = group.generation;
  const isCurrent = (): boolean => group.state === 'CompletingRebalance' && group.generation === generation;
  group.host.save(group).then(
    () => {
      if (isCurrent()) group.becomeStable();
    },
    (error: unknown) => {
      group.host.logger.error('a group assignment could not be stored', { group: group.id, error });
      if (!isCurrent()) return;
      group.failSyncs(ErrorCode.COORDINATOR_NOT_AVAILABLE);
      group.prepareRebalance('the assignment could not be stored');
    },
  );
}

export function heartbeat(group: Group, request: MemberIdentity & { generationId: number }): number {
  if (group.state === 'Dead') return ErrorCode.COORDINATOR_NOT_AVAILABLE;
  const member = identify(group, request);
  if (typeof member === 'number') return member;
  if (request.generationId !== group.generation) return ErrorCode.ILLEGAL_GENERATION;
  if (group.state === 'Empty') return ErrorCode.UNKNOWN_MEMBER_ID;
  group.keepAlive(member);
  return group.state === 'PreparingRebalance' ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE;
}

export function leave(group: Group, identity: MemberIdentity): number {
  if (group.state === 'Dead') return ErrorCode.COORDINATOR_NOT_AVAILABLE;
  if (identity.groupInstanceId === null && group.pending.has(identity.memberId)) {
    group.removePending(identity.memberId);
    return ErrorCode.NONE;
  }
  const known = identity.groupInstanceId === null ? undefined : group.statics.get(identity.groupInstanceId);
  // Admin tools name static members by their instance id alone.
  const memberId = identity.memberId === '' ? (known ?? '') : identity.memberId;
  const member = identify(group, { memberId, groupInstanceId: identity.groupInstanceId });
  if (typeof member === 'number') return member;
  group.remove(member, 'it left');
  return ErrorCode.NONE;
}

/** May this member (or, with generation -1, somebody outside) move the group's positions? */
export function mayCommit(group: Group, request: MemberIdentity & { generationId: number }): number {
  if (group.state === 'Dead') return ErrorCode.COORDINATOR_NOT_AVAILABLE;
  if (request.generationId < 0 && group.state === 'Empty') return ErrorCode.NONE;
  if (request.generationId < 0 && request.memberId === '' && request.groupInstanceId === null) {
    return ErrorCode.UNKNOWN_MEMBER_ID;
  }
  const member = identify(group, request);
  if (typeof member === 'number') return member;
  if (request.generationId !== group.generation) return ErrorCode.ILLEGAL_GENERATION;
  if (group.state === 'CompletingRebalance') return ErrorCode.REBALANCE_IN_PROGRESS;
  group.keepAlive(member);
  return ErrorCode.NONE;
}

function identify(group: Group, identity: MemberIdentity): Member | number {
  if (identity.groupInstanceId !== null) {
    const known = group.statics.get(identity.groupInstanceId);
    if (known === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
    if (known !== identity.memberId) return ErrorCode.FENCED_INSTANCE_ID;
  }
  return group.members.get(identity.memberId) ?? ErrorCode.UNKNOWN_MEMBER_ID;
}
