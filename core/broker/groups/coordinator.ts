import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { type Random, uuidBytes } from '../../base/random.ts';
import type { BrokerConfig } from '../config.ts';
import { isUncompacted } from '../internal-topic.ts';
import { Journal } from '../journal.ts';
import { ErrorCode, errorCodeOf } from '../kafka-error.ts';
import type { Partition } from '../partition.ts';
import { adoptSnapshots } from './adopt-snapshots.ts';
import { type CommittedOffset, CommittedOffsets } from './committed-offsets.ts';
import { type EmbeddedMember, EmbeddedMembers } from './embedded-members.ts';
import { Group, type GroupHost } from './group.ts';
import { GROUP_RECORDS, type JournalEntry } from './group-records.ts';
import type { ClientInfo, JoinReply, SyncReply } from './member.ts';
import * as membership from './membership.ts';

/** Kafka's offset.metadata.max.bytes; the limit counts characters. */
export const MAX_METADATA_CHARACTERS = 4096;
/** Positions of pipelines and sinks: never expired, not to be moved by others while they run. */
const OWN_GROUPS = 'millstream.';

/** A producer of transactions. */
interface ProducerIdentity {
  producerId: number;
  producerEpoch: number;
}

export interface CoordinatorOptions {
  /** The one partition of `__consumer_offsets`. */
  partition: Partition;
  config: BrokerConfig;
  clock: Clock;
  random: Random;
  logger: Logger;
}

export interface OffsetToCommit {
  topic: string;
  partition: number;
  offset: number;
  leaderEpoch?: number;
  metadata: string | null;
}

export type OffsetKey = Pick<OffsetToCommit, 'topic' | 'partition'>;

/** Consumer groups (any protocol type) and their positions. Everything answered is durable. */
export class Coordinator {
  readonly offsets = new CommittedOffsets();
  readonly embedded = new EmbeddedMembers();
  private readonly options: CoordinatorOptions;
  private readonly journal: Journal<JournalEntry>;
  private readonly groups = new Map<string, Group>();
  private readonly host: GroupHost;

  private constructor(options: CoordinatorOptions) {
    this.options = options;
    const { partition, clock, logger, random, config } = options;
    this.journal = new Journal({ partition, clock, logger, format: GROUP_RECORDS });
    this.host = {
      clock,
      logger,
      initialRebalanceDelayMs: config.groupInitialRebalanceDelayMs,
      newMemberId: prefix => `${prefix}-${uuidText(random)}`,
      save: async group => {
        const stored = group.toStore();
        await this.journal.append([{ kind: 'group', groupId: group.id, group: stored }]).durable;
      },
    };
  }

  /** Reads groups and positions back from the log. */
  static async open(options: CoordinatorOptions): Promise<Coordinator> {
    const coordinator = new Coordinator(options);
    const { offsets, groups, host } = coordinator;
    const stored = new Map<string, Extract<JournalEntry, { kind: 'group' }>>();
    const old = isUncompacted(options.partition.topic);
    await coordinator.journal.load({
      entry: (entry, offset, producerId) => {
        if (entry.kind === 'group') stored.set(entry.groupId, entry);
        else if (producerId >= 0 && entry.committed) offsets.stageOpen(producerId, entry, entry.committed, offset);
        else offsets.set(entry, entry.committed, offset);
      },
      marker: (producerId, kind, offset) => offsets.endTransaction(producerId, kind, old ? offset : undefined),
    });
    if (old) await adoptSnapshots(coordinator.journal, options.partition, stored.values(), offsets);
    for (const { groupId, group } of stored.values()) if (group) groups.set(groupId, Group.restore(group, host));
    for (const id of offsets.groupIds()) if (!groups.has(id)) groups.set(id, new Group(id, host));
    return coordinator;
  }

  list(): Group[] {
    return [...this.groups.values()];
  }

  get(groupId: string): Group | undefined {
    return this.groups.get(groupId);
  }

  join(request: membership.JoinRequest, client: ClientInfo): Promise<JoinReply> | JoinReply {
    const { groupId, memberId, sessionTimeoutMs } = request;
    const { config } = this.options;
    const fail = (errorCode: number): JoinReply => new Group(groupId, this.host).joinError(errorCode, memberId);
    if (groupId === '') return fail(ErrorCode.INVALID_GROUP_ID);
    if (this.embedded.has(groupId)) return fail(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    if (sessionTimeoutMs < config.groupMinSessionTimeoutMs || sessionTimeoutMs > config.groupMaxSessionTimeoutMs) {
      return fail(ErrorCode.INVALID_SESSION_TIMEOUT);
    }
    let group = this.groups.get(groupId);
    if (!group) {
      if (memberId !== '') return fail(ErrorCode.UNKNOWN_MEMBER_ID);
      group = new Group(groupId, this.host);
      const reply = membership.join(group, request, client);
      if (group.members.size > 0 || group.pending.size > 0) this.groups.set(groupId, group);
      return reply;
    }
    return membership.join(group, request, client);
  }

  sync(groupId: string, request: membership.SyncRequest): Promise<SyncReply> | SyncReply {
    const group = this.groups.get(groupId);
    if (!group) return new Group(groupId, this.host).syncReplyFor(null, unknownGroup(groupId));
    return membership.sync(group, request);
  }

  heartbeat(groupId: string, request: Parameters<typeof membership.heartbeat>[1]): number {
    const group = this.groups.get(groupId);
    return group ? membership.heartbeat(group, request) : unknownGroup(groupId);
  }

  leave(groupId: string, identity: membership.MemberIdentity): number {
    const group = this.groups.get(groupId);
    return group ? membership.leave(group, identity) : unknownGroup(groupId);
  }

  /** Moves positions. Resolves with an error code a position; those that are not durable did not move. */
  async commit(
    groupId: string,
    who: membership.MemberIdentity & { generationId: number },
    positions: readonly OffsetToCommit[],
  ): Promise<number[]> {
    const refusal = this.commitRefusal(groupId, who);
    if (refusal !== ErrorCode.NONE) return positions.map(() => refusal);
    const codes = positions.map(({ metadata }) =>
      (metadata?.length ?? 0) > MAX_METADATA_CHARACTERS ? ErrorCode.OFFSET_METADATA_TOO_LARGE : ErrorCode.NONE,
    ) as number[];
    try {
      await this.store(
        groupId,
        positions.filter((_, i) => codes[i] === ErrorCode.NONE),
      );
      return codes;
    } catch (error) {
      const failed = errorCodeOf(error);
      // Kafka answers so when its own append fails: clients retry.
      const answer = failed === ErrorCode.KAFKA_STORAGE_ERROR ? ErrorCode.COORDINATOR_NOT_AVAILABLE : failed;
      return codes.map(code => (code === ErrorCode.NONE ? answer : code));
    }
  }

  private commitRefusal(groupId: string, who: membership.MemberIdentity & { generationId: number }): number {
    if (this.embedded.has(groupId)) return ErrorCode.UNKNOWN_MEMBER_ID;
    const group = this.groups.get(groupId);
    if (group) return membership.mayCommit(group, who);
    return who.generationId < 0 ? ErrorCode.NONE : ErrorCode.ILLEGAL_GENERATION;
  }

  /** TxnOffsetCommit: positions that move when the producer's transaction is committed. The transaction was checked. */
  async commitInTransaction(
    groupId: string,
    who: membership.MemberIdentity & { generationId: number },
    producer: ProducerIdentity,
    positions: readonly OffsetToCommit[],
  ): Promise<number[]> {
    const refusal = this.transactionRefusal(groupId, who);
    if (refusal !== ErrorCode.NONE) return positions.map(() => refusal);
    const codes = positions.map(({ metadata }) =>
      (metadata?.length ?? 0) > MAX_METADATA_CHARACTERS ? ErrorCode.OFFSET_METADATA_TOO_LARGE : ErrorCode.NONE,
    ) as number[];
    const accepted = positions.filter((_, i) => codes[i] === ErrorCode.NONE);
    if (accepted.length === 0) return codes;
    try {
      await this.stageInTransaction(groupId, producer, accepted);
      return codes;
    } catch (error) {
      const failed = errorCodeOf(error);
      const answer = failed === ErrorCode.KAFKA_STORAGE_ERROR ? ErrorCode.COORDINATOR_NOT_AVAILABLE : failed;
      return codes.map(code => (code === ErrorCode.NONE ? answer : code));
    }
  }

  /** Clients before KIP-447 do not say who they are, and are not fenced, as in Kafka. */
  private transactionRefusal(groupId: string, who: membership.MemberIdentity & { generationId: number }): number {
    if (groupId === '') return ErrorCode.INVALID_GROUP_ID;
    if (this.embedded.has(groupId)) return ErrorCode.UNKNOWN_MEMBER_ID;
    const isNameless = who.generationId < 0 && who.memberId === '' && who.groupInstanceId === null;
    const group = this.groups.get(groupId);
    if (isNameless) return ErrorCode.NONE;
    if (!group) return who.generationId < 0 ? ErrorCode.NONE : ErrorCode.ILLEGAL_GENERATION;
    const refusal = membership.mayCommit(group, who);
    return refusal === ErrorCode.REBALANCE_IN_PROGRESS ? ErrorCode.NONE : refusal;
  }

  /** Appends in this turn; resolves when durable. The positions move with the transaction's commit marker. */
  stageInTransaction(groupId: string, producer: ProducerIdentity, positions: readonly OffsetToCommit[]): Promise<void> {
    const commitTimestamp = this.options.clock.now();
    const entries = positions.map(({ topic, partition, offset, leaderEpoch, metadata }) => ({
      kind: 'offset' as const,
      group: groupId,
      topic,
      partition,
      committed: { offset, leaderEpoch: leaderEpoch ?? -1, metadata: metadata ?? '', commitTimestamp },
    }));
    const { baseOffset, durable } = this.journal.appendInTransaction(entries, producer);
    for (const [i, entry] of entries.entries()) {
      this.offsets.stageOpen(producer.producerId, entry, entry.committed, baseOffset + i);
    }
    return durable;
  }

  /** The partition that transactions with positions write to. */
  get journalKey(): { topic: string; partition: number } {
    const { topic, index } = this.options.partition;
    return { topic: topic.name, partition: index };
  }

  isJournal(partition: Partition): boolean {
    return partition === this.options.partition;
  }

  /** The producer's transaction got its marker in the journal: its positions move, or are dropped. */
  endTransaction(producerId: number, outcome: 'commit' | 'abort'): void {
    for (const groupId of this.offsets.endTransaction(producerId, outcome)) {
      if (!this.groups.has(groupId)) this.groups.set(groupId, new Group(groupId, this.host));
    }
  }

  /** For the engine in this process: no checks. Appended in call order, resolves when durable. */
  commitInternal(groupId: string, positions: readonly OffsetToCommit[]): Promise<void> {
    return this.store(groupId, positions);
  }

  private store(groupId: string, positions: readonly OffsetToCommit[]): Promise<void> {
    const commitTimestamp = this.options.clock.now();
    return this.change(
      groupId,
      positions.map(({ topic, partition, offset, leaderEpoch, metadata }) => ({
        topic,
        partition,
        committed: { offset, leaderEpoch: leaderEpoch ?? -1, metadata: metadata ?? '', commitTimestamp },
      })),
    );
  }

  /** Removes positions. */
  async forget(groupId: string, keys: readonly OffsetKey[]): Promise<void> {
    await this.change(
      groupId,
      keys.map(({ topic, partition }) => ({ topic, partition, committed: null })),
    );
  }

  private async change(
    groupId: string,
    changes: readonly (OffsetKey & { committed: CommittedOffset | null })[],
  ): Promise<void> {
    if (changes.length === 0) return;
    const entries = changes.map(change => ({ kind: 'offset' as const, group: groupId, ...change }));
    const { baseOffset, durable } = this.journal.append(entries);
    if (!this.groups.has(groupId)) this.groups.set(groupId, new Group(groupId, this.host));
    for (const [i, entry] of entries.entries()) {
      if (!entry.committed) this.offsets.dropOpen(entry);
      this.offsets.stage(entry, entry.committed, baseOffset + i);
    }
    await durable;
    for (const [i, entry] of entries.entries()) this.offsets.settle(entry, entry.committed, baseOffset + i);
  }

  /** Removes an empty group with its positions; resolves with an error code. */
  async delete(groupId: string): Promise<number> {
    const group = this.groups.get(groupId);
    if (groupId === '') return ErrorCode.INVALID_GROUP_ID;
    if (!group) return ErrorCode.GROUP_ID_NOT_FOUND;
    if (group.state !== 'Empty' || this.embedded.has(groupId)) return ErrorCode.NON_EMPTY_GROUP;
    try {
      await this.remove(group);
      return ErrorCode.NONE;
    } catch (error) {
      return errorCodeOf(error);
    }
  }

  private async remove(group: Group): Promise<void> {
    const known = [...this.offsets.of(group.id, 'latest'), ...this.offsets.openKeys(group.id)];
    const keys = known.map(({ topic, partition }) => ({ topic, partition }));
    group.die();
    this.groups.delete(group.id);
    await this.journal.append([{ kind: 'group', groupId: group.id, group: null }]).durable;
    await this.forget(group.id, keys);
    if (this.groups.get(group.id)?.members.size === 0) this.groups.delete(group.id);
  }

  /** The positions on a deleted topic mean nothing any more. */
  async topicDeleted(name: string): Promise<void> {
    for (const groupId of [...this.offsets.groupIds(), ...this.offsets.openGroups()]) {
      const known = [...this.offsets.of(groupId, 'latest'), ...this.offsets.openKeys(groupId)];
      const keys = known.filter(({ topic }) => topic === name);
      await this.forget(groupId, keys);
    }
  }

  /** Forgets positions that nobody used for offsets.retention, and the groups left empty by that. */
  async expire(): Promise<void> {
    const before = this.options.clock.now() - this.options.config.offsetsRetentionMs;
    for (const group of this.list()) {
      if (group.id.startsWith(OWN_GROUPS) || this.embedded.has(group.id)) continue;
      if (group.state !== 'Empty' || group.pending.size > 0) continue;
      // A group that had members is alive until it is left for long enough; others live by their commits.
      if (group.protocolType !== '' && group.stateTimestamp > before) continue;
      if (this.offsets.openKeys(group.id).length > 0) continue;
      const all = [...this.offsets.of(group.id, 'latest')];
      const old = all.filter(({ committed }) => committed.commitTimestamp <= before);
      if (old.length === all.length && (all.length > 0 || group.stateTimestamp <= before)) await this.remove(group);
      else await this.forget(group.id, old);
    }
  }

  setEmbeddedMembers(groupId: string, members: readonly EmbeddedMember[]): void {
    this.embedded.set(groupId, members);
    if (members.length > 0 && !this.groups.has(groupId)) this.groups.set(groupId, new Group(groupId, this.host));
  }

  close(): void {
    for (const group of this.groups.values()) group.die();
    this.groups.clear();
  }
}

function unknownGroup(groupId: string): number {
  return groupId === '' ? ErrorCode.INVALID_GROUP_ID : ErrorCode.UNKNOWN_MEMBER_ID;
}

function uuidText(random: Random): string {
  const hex = Buffer.from(uuidBytes(random)).toString('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
