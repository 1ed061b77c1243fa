/*
 * The seam between topics and everything that reads or writes them: pipelines, sinks, sources (DESIGN 2).
 * `embedded` = our own broker in this process; `kafka` = a real cluster. One conformance suite runs on both.
 */

import type { RecordCounts, StepLineage } from './lineage.ts';

/** 32 hex digits. */
export type TopicId = string;

export interface TopicSpec {
  name: string;
  /** Left out: an existing topic is taken as it is, a new one gets the broker's default. */
  partitions?: number;
  /** Kafka's names, e.g. { 'retention.ms': '-1' }; used only when the topic is created. */
  configs?: Record<string, string>;
}

export interface TopicInfo {
  topicId: TopicId;
  name: string;
  partitions: number;
}

export interface Engine {
  /** Creates the topic when it is missing. Kind `invalid` when the name or a config is refused, `conflict` when
   * `partitions` is given and differs. When the signal is aborted, brokers that are away are not waited for. */
  ensureTopic(spec: TopicSpec, signal?: AbortSignal): Promise<TopicInfo>;
  /**
   * Joins the consumer group. `assigned` is called once for each partition, before anything of it is read; `revoked`
   * before it goes to another member (its lease's signal is aborted when `revoked` has returned or the lease is lost).
   * Both may take their time; errors thrown in them end the membership.
   */
  join(group: string, topics: string[], on: LeaseHandler, options?: JoinOptions): Promise<Membership>;
  close(): Promise<void>;
}

export interface JoinOptions {
  /** Where a partition without a committed position begins. Default `earliest`. */
  start?: 'earliest' | 'latest';
  /** One member of the group has all partitions, the others stand by until it goes; all say the same. `embedded` has
   * one process anyway, whose members share. */
  exclusive?: boolean;
  /** Gives the join up: it rejects with kind `closed`. Means nothing once the join has resolved. */
  signal?: AbortSignal;
}

export interface LeaseHandler {
  assigned(lease: Lease): Promise<void>;
  revoked(lease: Lease): Promise<void>;
}

export interface Membership {
  readonly group: string;
  /** Revokes all leases, waits for `revoked`, leaves the group. */
  leave(): Promise<void>;
}

export interface Position {
  next: bigint;
  /** At most 3,000 ASCII characters; opaque to the engine. */
  state: string | null;
}

/** A committed position of some partition in a group. */
export interface Peer {
  topic: string;
  partition: number;
  position: Position;
}

export interface Chunk {
  /** Verbatim batches; the first may begin below the offset asked for. Aborted and control batches are removed. */
  batches: Uint8Array[];
  sizeBytes: number;
  /** Where to read on. Always > the offset asked for, unless `batches` is empty because the signal was aborted. */
  next: bigint;
}

export interface Append {
  topic: string;
  partition: number;
  /** One finished RecordBatch v2 with base offset 0; the engine owns the bytes from now on. */
  batch: Uint8Array;
  /** Which source record each of its records comes from, as `writeOrigins` writes it; null, left out: nobody knows. */
  origins?: Uint8Array | null;
  /** It belongs to the state and is no output: no lineage is left beside it. */
  isState?: boolean;
}

export interface Commit {
  next: bigint;
  /** Left out: the state stays as it is. */
  state?: string;
  append?: Append[];
  /** Left out: from where the commit before ended. */
  lineage?: CommitLineage;
}

/** What is kept beside what a commit appends, so that it can be traced (lineage.ts). */
export interface CommitLineage {
  /** Where the last commit that appended something ended: what follows, up to this commit's `next`, is accounted for. */
  from: bigint;
  /** What became of the source records from there on, in all and in each step. */
  records?: RecordCounts;
  steps?: readonly StepLineage[];
}

export interface OffsetRange {
  topic: string;
  partition: number;
  from: bigint;
  to: bigint;
}

/** The right to process one partition in a group, until revoked or fenced. */
export interface Lease {
  readonly topic: string;
  readonly topicId: TopicId;
  readonly partition: number;
  readonly partitions: number;
  /** Grows with every new owner of this partition in this group. */
  readonly epoch: number;
  /** The committed position at assignment; null when the group never committed here. */
  readonly position: Position | null;
  /** First offset to read: the position, or what `start` says. */
  readonly start: bigint;
  /** Aborted when the lease is over. */
  readonly signal: AbortSignal;
  /**
   * Waits until there is something at or above `from`, then returns batches up to `maxBytes` (at least one), never
   * beyond the last stable offset. Returns an empty chunk when the signal is aborted. Kind `invalid`, code
   * OFFSET_OUT_OF_RANGE when `from` is outside the log.
   */
  read(from: bigint, maxBytes: number): Promise<Chunk>;
  /** How many records lie between `from` and the end that can be read now. */
  lag(from: bigint): bigint;
  /** The offsets that can be read now: the first, and where reading ends. Sinks name the lost range by it. */
  bounds(): { from: bigint; to: bigint };
  /**
   * What the group has committed on all its partitions, of every topic; this one's among them. A sink whose partitions
   * write into one place reads there what its predecessors left: commits that this process called before, also on leases
   * that have ended, are decided by then. Nobody fences the other partitions: what their owners
   * commit meanwhile may be missing. `kafka`: OffsetFetch of the whole group with require_stable.
   */
  peers(): Promise<Peer[]>;
  /**
   * Reads this lease's partition of another topic, to which only the owners of this partition write: what its commits,
   * and those of its predecessors, have appended, oldest first. Everything that was answered is there, nothing that was
   * aborted. Kind `invalid`, code UNKNOWN_TOPIC_OR_PARTITION when there is no such partition.
   */
  recall(topic: string): Promise<Uint8Array[]>;
  /** Position, state and appended batches together; resolves when durable. Calls may overlap and take effect in call
   * order. Kind `conflict`, code FENCED once the lease is over; `unavailable` when storage refuses (retry it). */
  commit(commit: Commit): Promise<{ ranges: OffsetRange[] }>;
}
