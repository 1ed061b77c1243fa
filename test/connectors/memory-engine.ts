import type {
  Append,
  Chunk,
  Commit,
  Engine,
  JoinOptions,
  Lease,
  LeaseHandler,
  Membership,
  OffsetRange,
  Peer,
  Position,
  TopicInfo,
  TopicSpec,
} from '../../core/engine/engine.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import {
  checkBatch,
  encodeBatch,
  type LogRecord,
  type NewRecord,
  patchBatch,
  readRecords,
} from '../../core/engine/records.ts';

/*
 * A small real Engine in memory: topics hold finished batches, groups rebalance over their members, leases are fenced
 * by epoch, and a commit (position, state, appends) takes effect as one step. Tests can cut off members as a crash
 * would, delete old records and make commits fail.
 */

interface Stored {
  base: number;
  next: number;
  bytes: Uint8Array;
}

interface Log {
  batches: Stored[];
  start: number;
  end: number;
  waiting: Set<() => void>;
}

interface Topic {
  info: TopicInfo;
  logs: Log[];
}

interface Group {
  positions: Map<string, Position>;
  epochs: Map<string, number>;
  /** Commits that were called and have neither taken effect nor failed. */
  undecided: Set<Promise<unknown>>;
  members: Set<Member>;
  rebalancing: Promise<void>;
}

interface Member {
  topics: string[];
  on: LeaseHandler;
  start: 'earliest' | 'latest';
  leases: MemoryLease[];
}

export class MemoryEngine implements Engine {
  /** Partitions that a topic gets when the spec does not say. */
  defaultPartitions = 2;
  /** Asked before every commit takes effect: throw to refuse it; a promise delays it. */
  beforeCommit: (lease: Lease, commit: Commit) => void | Promise<void> = () => {};
  /** As max.message.bytes of every topic, for what is appended by commits. */
  mostBatchBytes = Number.POSITIVE_INFINITY;
  readonly commits: { group: string; partition: number; commit: Commit }[] = [];
  private readonly topics = new Map<string, Topic>();
  private readonly groups = new Map<string, Group>();
  private topicCount = 0;

  ensureTopic(spec: TopicSpec): Promise<TopicInfo> {
    const known = this.topics.get(spec.name);
    if (known) {
      if (spec.partitions !== undefined && spec.partitions !== known.info.partitions) {
        throw new MillstreamError('conflict', 'PARTITIONS_DIFFER', `topic ${spec.name} has another partition count`);
      }
      return Promise.resolve(known.info);
    }
    const partitions = spec.partitions ?? this.defaultPartitions;
    const topicId = (++this.topicCount).toString(16).padStart(32, '0');
    const info = { topicId, name: spec.name, partitions };
    const logs = Array.from({ length: partitions }, () => ({
      batches: [],
      start: 0,
      end: 0,
      waiting: new Set<never>(),
    }));
    this.topics.set(spec.name, { info, logs });
    return Promise.resolve(info);
  }

  async join(group: string, topics: string[], on: LeaseHandler, options: JoinOptions = {}): Promise<Membership> {
    const state = this.group(group);
    const member: Member = { topics, on, start: options.start ?? 'earliest', leases: [] };
    state.members.add(member);
    await this.rebalance(group, state);
    return {
      group,
      leave: async () => {
        if (!state.members.delete(member)) return;
        await this.revoke(member);
        await this.rebalance(group, state);
      },
    };
  }

  async close(): Promise<void> {
    for (const group of this.groups.values()) {
      for (const member of group.members) await this.revoke(member);
      group.members.clear();
    }
  }

  /** All members vanish as if the process had died: nothing is revoked, their leases are fenced. */
  crash(): void {
    for (const [name, group] of this.groups) {
      for (const member of group.members) {
        for (const lease of member.leases) {
          const key = `${lease.topic}-${lease.partition}`;
          group.epochs.set(key, (group.epochs.get(key) ?? 0) + 1);
          lease.end();
        }
      }
      group.members.clear();
      this.groups.set(name, group);
    }
  }

  /** A topic goes with its positions; nothing is revoked, as nobody may have it. */
  deleteTopic(name: string): void {
    this.topics.delete(name);
    for (const { positions } of this.groups.values()) {
      for (const key of positions.keys()) if (key.slice(0, key.lastIndexOf('-')) === name) positions.delete(key);
    }
  }

  append(topic: string, partition: number, records: NewRecord[]): void {
    this.appendBatch({ topic, partition, batch: encodeBatch(records) });
  }

  appendBatch(append: Append): OffsetRange {
    const log = this.log(append.topic, append.partition);
    const bytes = Uint8Array.from(append.batch);
    const header = checkBatch(bytes);
    const base = log.end;
    patchBatch(bytes, 0, base, 0);
    log.end = base + header.lastOffsetDelta + 1;
    log.batches.push({ base, next: log.end, bytes });
    for (const wake of log.waiting) wake();
    return { topic: append.topic, partition: append.partition, from: BigInt(base), to: BigInt(log.end) };
  }

  /** Retention: everything below `offset` is gone. */
  deleteBelow(topic: string, partition: number, offset: number): void {
    const log = this.log(topic, partition);
    log.start = offset;
    log.batches = log.batches.filter(batch => batch.next > offset);
  }

  /** Every record of a topic, partition by partition. */
  records(topic: string): (LogRecord & { partition: number })[] {
    const found = this.topics.get(topic);
    return (found?.logs ?? []).flatMap((log, partition) =>
      log.batches.flatMap(batch => readRecords(batch.bytes).map(record => ({ ...record, partition }))),
    );
  }

  position(group: string, topic: string, partition: number): Position | null {
    return this.groups.get(group)?.positions.get(`${topic}-${partition}`) ?? null;
  }

  setPosition(group: string, topic: string, partition: number, position: Position): void {
    this.group(group).positions.set(`${topic}-${partition}`, position);
  }

  log(topic: string, partition: number): Log {
    const log = this.topics.get(topic)?.logs[partition];
    if (!log) throw new MillstreamError('invalid', 'UNKNOWN_TOPIC', `no partition ${topic}-${partition}`);
    return log;
  }

  group(name: string): Group {
    let group = this.groups.get(name);
    if (!group) {
      group = {
        positions: new Map(),
        epochs: new Map(),
        undecided: new Set(),
        members: new Set(),
        rebalancing: Promise.resolve(),
      };
      this.groups.set(name, group);
    }
    return group;
  }

  private rebalance(name: string, group: Group): Promise<void> {
    group.rebalancing = group.rebalancing.then(async () => {
      await Promise.all([...group.members].map(member => this.revoke(member)));
      const members = [...group.members];
      const names = [...new Set(members.flatMap(member => member.topics))];
      for (const topic of names) {
        const takers = members.filter(member => member.topics.includes(topic));
        const info = this.topics.get(topic)?.info;
        if (!info) continue;
        for (let partition = 0; partition < info.partitions; partition++) {
          const member = takers[partition % takers.length] as Member;
          // It may have died meanwhile.
          if (!group.members.has(member)) return;
          const key = `${topic}-${partition}`;
          const epoch = (group.epochs.get(key) ?? 0) + 1;
          group.epochs.set(key, epoch);
          const log = this.log(topic, partition);
          const position = group.positions.get(key) ?? null;
          const start = position?.next ?? BigInt(member.start === 'earliest' ? log.start : log.end);
          const lease = new MemoryLease(this, name, info, partition, epoch, position, start);
          member.leases.push(lease);
          await member.on.assigned(lease);
        }
      }
    });
    return group.rebalancing;
  }

  private async revoke(member: Member): Promise<void> {
    const leases = member.leases;
    member.leases = [];
    await Promise.all(
      leases.map(async lease => {
        await member.on.revoked(lease);
        lease.end();
      }),
    );
  }
}

class MemoryLease implements Lease {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly partitions: number;
  readonly epoch: number;
  readonly position: Position | null;
  readonly start: bigint;
  readonly signal: AbortSignal;
  private readonly controller = new AbortController();
  private readonly engine: MemoryEngine;
  private readonly groupName: string;
  private committing: Promise<unknown> = Promise.resolve();

  constructor(
    engine: MemoryEngine,
    groupName: string,
    info: TopicInfo,
    partition: number,
    epoch: number,
    position: Position | null,
    start: bigint,
  ) {
    this.engine = engine;
    this.groupName = groupName;
    this.topic = info.name;
    this.topicId = info.topicId;
    this.partition = partition;
    this.partitions = info.partitions;
    this.epoch = epoch;
    this.position = position;
    this.start = start;
    this.signal = this.controller.signal;
  }

  async read(from: bigint, maxBytes: number): Promise<Chunk> {
    const log = this.engine.log(this.topic, this.partition);
    const at = Number(from);
    for (;;) {
      if (this.signal.aborted) return { batches: [], sizeBytes: 0, next: from };
      if (at < log.start || at > log.end) {
        throw new MillstreamError('invalid', 'OFFSET_OUT_OF_RANGE', `${from} is outside ${log.start} to ${log.end}`);
      }
      if (at < log.end) break;
      await new Promise<void>(resolve => {
        const wake = (): void => {
          log.waiting.delete(wake);
          this.signal.removeEventListener('abort', wake);
          resolve();
        };
        log.waiting.add(wake);
        this.signal.addEventListener('abort', wake);
      });
    }
    const batches: Uint8Array[] = [];
    let sizeBytes = 0;
    let next = at;
    for (const batch of log.batches) {
      if (batch.next <= at) continue;
      if (batches.length > 0 && sizeBytes + batch.bytes.length > maxBytes) break;
      batches.push(batch.bytes);
      sizeBytes += batch.bytes.length;
      next = batch.next;
    }
    return { batches, sizeBytes, next: BigInt(next) };
  }

  lag(from: bigint): bigint {
    return BigInt(this.engine.log(this.topic, this.partition).end) - from;
  }

  bounds(): { from: bigint; to: bigint } {
    const log = this.engine.log(this.topic, this.partition);
    return { from: BigInt(log.start), to: BigInt(log.end) };
  }

  async peers(): Promise<Peer[]> {
    const group = this.engine.group(this.groupName);
    await Promise.all(group.undecided);
    return [...group.positions].map(([key, position]) => {
      const dash = key.lastIndexOf('-');
      return { topic: key.slice(0, dash), partition: Number(key.slice(dash + 1)), position };
    });
  }

  async recall(topic: string): Promise<Uint8Array[]> {
    return this.engine.log(topic, this.partition).batches.map(({ bytes }) => bytes);
  }

  commit(commit: Commit): Promise<{ ranges: OffsetRange[] }> {
    const done = this.committing.then(async () => {
      await new Promise(resolve => setImmediate(resolve));
      await this.engine.beforeCommit(this, commit);
      const group = this.engine.group(this.groupName);
      const key = `${this.topic}-${this.partition}`;
      if (this.signal.aborted || group.epochs.get(key) !== this.epoch) {
        throw new MillstreamError('conflict', 'FENCED', `${key} has another owner`);
      }
      for (const { batch } of commit.append ?? []) {
        if (batch.length <= this.engine.mostBatchBytes) continue;
        throw new MillstreamError('invalid', 'MESSAGE_TOO_LARGE', `the record batch takes ${batch.length} bytes`);
      }
      const ranges = (commit.append ?? []).map(append => this.engine.appendBatch(append));
      const before = group.positions.get(key)?.state ?? null;
      group.positions.set(key, { next: commit.next, state: commit.state ?? before });
      this.engine.commits.push({ group: this.groupName, partition: this.partition, commit });
      return { ranges };
    });
    const { undecided } = this.engine.group(this.groupName);
    const decided: Promise<unknown> = done.catch(() => {}).finally(() => undecided.delete(decided));
    undecided.add(decided);
    this.committing = decided;
    return done;
  }

  end(): void {
    this.controller.abort();
  }
}
