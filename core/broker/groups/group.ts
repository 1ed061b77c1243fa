import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { ErrorCode } from '../kafka-error.ts';
import { Member, type JoinReply, type MemberProtocol, type MemberState, type SyncReply } from './member.ts';

export type GroupState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable' | 'Dead';

/** What a group needs from outside. */
export interface GroupHost {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly initialRebalanceDelayMs: number;
  newMemberId(prefix: string): string;
  /** Makes the group durable as it is now. */
  save(group: Group): Promise<void>;
}

/** A group as it is stored. */
export interface StoredGroup {
  groupId: string;
  protocolType: string;
  generation: number;
  protocolName: string | null;
  leader: string | null;
  /** Wall clock, milliseconds: since when the group is in its state. */
  stateTimestamp: number;
  members: MemberState[];
}

/**
 * The state of one classic consumer group and the rebalance that moves it:
 *
 *   Empty -> PreparingRebalance (joins are held) -> CompletingRebalance (syncs are held) -> Stable
 *
 * Any join, leave or expiry of a member goes back to PreparingRebalance. Which request may do what in which state is
 * in membership.ts; Kafka's GroupCoordinator is the model for both.
 */
export class Group {
  readonly id: string;
  readonly host: GroupHost;
  state: GroupState = 'Empty';
  stateTimestamp: number;
  generation = 0;
  /** Of a group that never had a member: '' (a simple group, used for its positions only). */
  protocolType = '';
  protocolName: string | null = null;
  leader: string | null = null;
  readonly members = new Map<string, Member>();
  /** Static members by group.instance.id. */
  readonly statics = new Map<string, string>();
  /** Ids handed out with MEMBER_ID_REQUIRED that did not come back yet. */
  readonly pending = new Map<string, Timer>();
  /** Members that have their join answer and did not sync yet. */
  private readonly unsynced = new Set<string>();
  private joinTimer: Timer | null = null;
  private syncTimer: Timer | null = null;
  /** Set while the first rebalance of an empty group waits for more members. */
  private holding = false;

  constructor(id: string, host: GroupHost) {
    this.id = id;
    this.host = host;
    this.stateTimestamp = host.clock.now();
  }

  static restore(stored: StoredGroup, host: GroupHost): Group {
    const group = new Group(stored.groupId, host);
    group.protocolType = stored.protocolType;
    group.generation = stored.generation;
    group.protocolName = stored.protocolName;
    group.leader = stored.leader;
    for (const state of stored.members) group.insert(new Member(state));
    group.state = group.members.size > 0 ? 'Stable' : 'Empty';
    if (stored.stateTimestamp >= 0) group.stateTimestamp = stored.stateTimestamp;
    for (const member of group.members.values()) group.keepAlive(member);
    return group;
  }

  toStore(): StoredGroup {
    return {
      groupId: this.id,
      protocolType: this.protocolType,
      generation: this.generation,
      protocolName: this.protocolName,
      leader: this.leader,
      stateTimestamp: this.stateTimestamp,
      members: [...this.members.values()].map(member => ({
        memberId: member.memberId,
        groupInstanceId: member.groupInstanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        sessionTimeoutMs: member.sessionTimeoutMs,
        rebalanceTimeoutMs: member.rebalanceTimeoutMs,
        protocols: [{ name: this.protocolName ?? '', metadata: member.metadataFor(this.protocolName) }],
        assignment: member.assignment,
      })),
    };
  }

  setState(state: GroupState): void {
    this.state = state;
    this.stateTimestamp = this.host.clock.now();
  }

  /** Cancels every timer and fails what is held: the group is gone. */
  die(): void {
    this.setState('Dead');
    this.joinTimer?.cancel();
    this.syncTimer?.cancel();
    for (const timer of this.pending.values()) timer.cancel();
    this.pending.clear();
    for (const member of this.members.values()) {
      member.stop();
      this.answerJoin(member, this.joinError(ErrorCode.COORDINATOR_NOT_AVAILABLE, member.memberId));
      this.answerSync(member, ErrorCode.COORDINATOR_NOT_AVAILABLE);
    }
  }

  /** True when a member with these protocols fits to those that are there. */
  accepts(protocolType: string, protocols: readonly MemberProtocol[]): boolean {
    if (protocolType === '' || protocols.length === 0) return false;
    if (this.members.size === 0) return true;
    if (protocolType !== this.protocolType) return false;
    return protocols.some(({ name }) => this.spokenByAll(name));
  }

  insert(member: Member): void {
    this.members.set(member.memberId, member);
    if (member.groupInstanceId !== null) this.statics.set(member.groupInstanceId, member.memberId);
    this.leader ??= member.memberId;
  }

  /** Takes a member out, answers what it waits for, and lets the rest of the group go on without it. */
  remove(member: Member, why: string): void {
    this.drop(member);
    this.host.logger.debug('a member left its group', { group: this.id, member: member.memberId, why });
    if (this.state === 'Stable' || this.state === 'CompletingRebalance') this.prepareRebalance(why);
    else if (this.state === 'PreparingRebalance') this.tryCompleteJoin();
  }

  private drop(member: Member): void {
    member.stop();
    this.answerJoin(member, this.joinError(ErrorCode.UNKNOWN_MEMBER_ID, ''));
    this.answerSync(member, ErrorCode.UNKNOWN_MEMBER_ID);
    this.members.delete(member.memberId);
    this.unsynced.delete(member.memberId);
    const instance = member.groupInstanceId;
    if (instance !== null && this.statics.get(instance) === member.memberId) this.statics.delete(instance);
    if (this.leader === member.memberId) this.leader = this.members.keys().next().value ?? null;
  }

  keepAlive(member: Member): void {
    member.touch(this.host.clock, expired => {
      if (this.members.get(expired.memberId) !== expired) return;
      this.host.logger.info('a member was not heard from for its session timeout', {
        group: this.id,
        member: expired.memberId,
        session_timeout_ms: expired.sessionTimeoutMs,
      });
      this.remove(expired, 'session timeout');
    });
  }

  /** Hands out an id that must come back within the session timeout (KIP-394). */
  addPending(memberId: string, sessionTimeoutMs: number): void {
    const timer = this.host.clock.setTimer(sessionTimeoutMs, () => this.removePending(memberId));
    this.pending.set(memberId, timer);
  }

  removePending(memberId: string): void {
    this.pending.get(memberId)?.cancel();
    this.pending.delete(memberId);
    if (this.state === 'PreparingRebalance') this.tryCompleteJoin();
  }

  prepareRebalance(why: string): void {
    if (this.state === 'CompletingRebalance') this.failSyncs(ErrorCode.REBALANCE_IN_PROGRESS);
    this.stopSyncTimer();
    const fromEmpty = this.state === 'Empty';
    this.setState('PreparingRebalance');
    this.host.logger.debug('a group rebalances', { group: this.id, generation: this.generation, why });
    this.joinTimer?.cancel();
    if (fromEmpty) {
      this.holding = true;
      this.joinTimer = this.host.clock.setTimer(this.host.initialRebalanceDelayMs, () => {
        this.holding = false;
        this.completeJoin();
      });
      return;
    }
    this.joinTimer = this.host.clock.setTimer(this.rebalanceTimeoutMs(), () => this.completeJoin());
    this.tryCompleteJoin();
  }

  tryCompleteJoin(): void {
    if (this.state !== 'PreparingRebalance' || this.holding || this.pending.size > 0) return;
    for (const member of this.members.values()) if (!member.joinReply) return;
    this.completeJoin();
  }

  /** Ends the phase of joining: those that did not come back are out, the rest get the new generation. */
  private completeJoin(): void {
    this.joinTimer?.cancel();
    this.joinTimer = null;
    for (const member of this.members.values()) {
      if (!member.joinReply && member.groupInstanceId === null) this.drop(member);
    }
    const joined = [...this.members.values()].filter(member => member.joinReply);
    if (this.members.size > 0 && joined.length === 0) {
      // Static members only, and none is back yet: wait on, until their sessions run out.
      this.joinTimer = this.host.clock.setTimer(this.rebalanceTimeoutMs(), () => this.completeJoin());
      return;
    }
    const leader = this.leader === null ? undefined : this.members.get(this.leader);
    if (!leader?.joinReply) this.leader = joined[0]?.memberId ?? null;
    this.generation = this.generation === 2147483647 ? 1 : this.generation + 1;
    if (this.members.size === 0) {
      this.protocolName = null;
      this.setState('Empty');
      this.host.save(this).catch((error: unknown) => {
        this.host.logger.warn('an emptied group could not be stored', { group: this.id, error });
      });
      return;
    }
    this.protocolName = this.selectProtocol();
    this.setState('CompletingRebalance');
    for (const member of this.members.values()) {
      this.unsynced.add(member.memberId);
      this.answerJoin(member, this.joined(member));
      this.keepAlive(member);
    }
    this.syncTimer = this.host.clock.setTimer(this.rebalanceTimeoutMs(), () => this.expelUnsynced());
  }

  synced(member: Member): void {
    this.unsynced.delete(member.memberId);
  }

  private expelUnsynced(): void {
    this.syncTimer = null;
    if (this.state !== 'CompletingRebalance' && this.state !== 'Stable') return;
    const late = [...this.unsynced].flatMap(id => this.members.get(id) ?? []);
    if (late.length === 0) return;
    for (const member of late) this.drop(member);
    this.prepareRebalance('members did not sync in time');
  }

  private stopSyncTimer(): void {
    this.syncTimer?.cancel();
    this.syncTimer = null;
    this.unsynced.clear();
  }

  /** The leader's assignment is durable: everybody who waits gets its part. */
  becomeStable(): void {
    this.setState('Stable');
    for (const member of this.members.values()) {
      if (member.syncReply) this.synced(member);
      this.answerSync(member, ErrorCode.NONE);
    }
    if (this.unsynced.size === 0) this.stopSyncTimer();
  }

  failSyncs(errorCode: number): void {
    for (const member of this.members.values()) {
      member.assignment = new Uint8Array();
      this.answerSync(member, errorCode);
    }
  }

  /** The protocol that all speak and most prefer. */
  selectProtocol(): string | null {
    const votes = new Map<string, number>();
    for (const member of this.members.values()) {
      const vote = member.protocols.find(({ name }) => this.spokenByAll(name))?.name;
      if (vote !== undefined) votes.set(vote, (votes.get(vote) ?? 0) + 1);
    }
    let best: string | null = null;
    for (const [name, count] of votes) if (best === null || count > (votes.get(best) ?? 0)) best = name;
    return best;
  }

  private spokenByAll(protocol: string): boolean {
    for (const member of this.members.values()) {
      if (!member.protocols.some(({ name }) => name === protocol)) return false;
    }
    return true;
  }

  /** The answer for a member of the current generation; the leader gets the list of members. */
  joined(member: Member): JoinReply {
    const isLeader = member.memberId === this.leader;
    return {
      errorCode: ErrorCode.NONE,
      generationId: this.generation,
      protocolType: this.protocolType,
      protocolName: this.protocolName,
      leader: this.leader ?? '',
      skipAssignment: false,
      memberId: member.memberId,
      members: isLeader ? this.memberList() : [],
    };
  }

  memberList(): JoinReply['members'] {
    return [...this.members.values()].map(member => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      metadata: member.metadataFor(this.protocolName),
    }));
  }

  joinError(errorCode: number, memberId: string): JoinReply {
    return {
      errorCode,
      generationId: -1,
      protocolType: null,
      protocolName: null,
      leader: '',
      skipAssignment: false,
      memberId,
      members: [],
    };
  }

  answerJoin(member: Member, reply: JoinReply): void {
    const answer = member.joinReply;
    member.joinReply = null;
    answer?.(reply);
  }

  answerSync(member: Member, errorCode: number): void {
    const answer = member.syncReply;
    member.syncReply = null;
    answer?.(this.syncReplyFor(member, errorCode));
  }

  syncReplyFor(member: Member | null, errorCode: number): SyncReply {
    const ok = errorCode === ErrorCode.NONE && member !== null;
    return {
      errorCode,
      protocolType: ok ? this.protocolType : null,
      protocolName: ok ? this.protocolName : null,
      assignment: ok ? member.assignment : new Uint8Array(),
    };
  }

  private rebalanceTimeoutMs(): number {
    let longest = 0;
    for (const member of this.members.values()) longest = Math.max(longest, member.rebalanceTimeoutMs);
    return longest;
  }
}
