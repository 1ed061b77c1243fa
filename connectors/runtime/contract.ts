import type { LogRecord } from '../../core/engine/records.ts';

/*
 * The sink and source contracts (DESIGN 7). The runtime owns batching, the in-flight window, retry, splitting, dead
 * letters and commits, once for all; a connector only talks to its system.
 */

/** `at-least-once`: a crash may repeat rows. `exactly-once`: state and position move in one commit, and `acquire`
 * repairs what a crash left. The conformance kit proves exactly the one declared. */
export type Guarantee = 'at-least-once' | 'exactly-once';

/** What a write's error means for the rows. `transient`, `throttled` and `auth` are waited out and never cost a row. */
export type SinkErrorKind =
  | 'transient'
  | 'throttled'
  | 'auth'
  | 'rejected'
  | 'too-large'
  | 'schema'
  | 'fenced'
  | 'fatal';

export interface Row {
  topic: string;
  partition: number;
  record: LogRecord;
  /** A dead letter that is tried again: where the refused record lay. Topic, partition and offset beside it are those of
   * the replay; they alone are in sequence. */
  origin?: { topic: string; partition: number; offset: number };
}

export interface RowBatch {
  rows: readonly Row[];
  /** Bytes of keys and values. */
  sizeBytes: number;
  /** Position when every row of this batch (and what was filtered out between) is done. */
  next: bigint;
  /** 1 for the first try. */
  attempt: number;
}

export interface Reject {
  /** Index into the batch's rows. */
  row: number;
  code: string;
  reason: string;
}

export interface WriteResult {
  /** Refused rows; the others are written. */
  rejected?: Reject[];
  /** Committed together with the position; left out: stays. At most 3,000 ASCII characters. */
  state?: string;
}

export interface PartitionWriter {
  /**
   * Resolves when every row not in `rejected` is durable in the system. Throws SinkError. Called again with the same
   * rows after a retriable error. At most `caps.maxInFlight` calls at a time.
   */
  write(batch: RowBatch, signal: AbortSignal): Promise<WriteResult>;
  /** Position and state of writes acknowledged so far are committed: up to the one that gave `state`, the committed one;
   * with `maxInFlight` above 1 later ones may have been acknowledged meanwhile. Not called for a commit that fails for good:
   * then `close('abandon')` comes, and whether it took effect is known from `SinkPartition.states`. */
  committed?(state: string | undefined): void;
  /** `drain`: everything written was committed; `abandon`: the lease is lost, or rows are left for the next owner. */
  close(how: 'drain' | 'abandon'): Promise<void>;
}

/** What one partition of the sink has committed; `lasts` as in `SinkPartition`. */
export interface PeerState {
  state: string;
  lasts: boolean;
}

export interface SinkPartition {
  topic: string;
  topicId: string;
  partition: number;
  partitions: number;
  epoch: number;
  /** State of the last commit, without the `v1:<topicId>:` frame that the runtime adds. */
  state: string | null;
  /** False for replays: their topic may be deleted at any time, and what is committed on it with it. */
  lasts: boolean;
  /** The committed states of all partitions of this sink, this one's among them; those that are empty are left out. */
  states: () => Promise<PeerState[]>;
  /**
   * A durable change of state at the committed position, before something outside is touched: whoever takes over knows
   * of it. Resolves when it is committed; retried while the storage refuses; throws a `fenced` SinkError once the lease
   * is over. Commits of writes that were acknowledged before take effect first. Not to be called with the state of a
   * write that is under way.
   */
  intent: (state: string) => Promise<void>;
}

export interface Sink {
  /** Fences the predecessor and repairs what it left, from the committed state. */
  acquire(partition: SinkPartition): Promise<PartitionWriter>;
  close(): Promise<void>;
}

export interface SinkCaps {
  guarantee: Guarantee;
  /** No write of a partition begins before the last one is committed, and the parts of a batch that was split are
   * committed one by one. `maxInFlight` is 1 then. */
  commitsEach?: boolean;
  /** How large a batch is means nothing to the system: those that wait behind a write go together, up to this much. */
  joins?: { rows: number; bytes: number };
  /** What it writes is one thing for all partitions: one process has them all, others stand by. */
  exclusive?: boolean;
  /** The rows of a partition may come in another order, where order means nothing to the system. */
  unordered?: boolean;
  maxInFlight: number;
  maxRows: number;
  maxBytes: number;
}

/** One connector type; the folder's name is its key in TOML. `Config` is the output of its zod schema. */
export interface SinkConnector<Config = unknown> {
  readonly type: string;
  readonly description: string;
  /** zod schema of `[sinks.NAME.<type>]`. */
  readonly config: import('zod').ZodType<Config>;
  caps(config: Config): SinkCaps;
  open(config: Config, context: ConnectorContext): Promise<Sink>;
}

/** What the source may know of where it runs; clock, disk and randomness are handed in. */
export interface ConnectorContext {
  pipeline: string;
  name: string;
  /** Relative paths in a connector's config start here. */
  baseDirectory: string;
  /** A name for that folder, [a-z0-9]+, where a process with another one may take over. Left out: nobody can. */
  place?: string;
  clock: import('../../core/base/clock.ts').Clock;
  random: import('../../core/base/random.ts').Random;
  disk: import('../../core/base/disk.ts').Disk;
}

export interface SourceBatch {
  records: import('../../core/engine/records.ts').NewRecord[];
  /** Lines or rows that cannot become a record: each becomes a dead letter with these bytes as its value. */
  rejected: SourceReject[];
  /** Where to read on after this batch: at most 3,000 ASCII characters. */
  state: string;
}

export interface SourceReject {
  raw: Uint8Array;
  /** Where it lies in the outside system, a number that no other reject of this source has (a file's line): the dead
   * letter's offset. */
  at: number;
  code: string;
  reason: string;
}

export interface SourceReader {
  /** True once `poll` has returned null for good: all of a finite source was read. */
  readonly finished: boolean;
  /** The next batch; null when there is nothing now (the runtime asks again after a pause, or ends a finished one). */
  poll(maxRecords: number, signal: AbortSignal): Promise<SourceBatch | null>;
  close(): Promise<void>;
}

export interface SourceConnector<Config = unknown> {
  readonly type: string;
  readonly description: string;
  readonly config: import('zod').ZodType<Config>;
  /** Resumes at `state` (null: from the beginning). A source fills partition 0 upward of the topic it is given. */
  open(config: Config, context: ConnectorContext, state: string | null): Promise<SourceReader>;
}
