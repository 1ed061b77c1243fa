import type { BatchHeader } from './batch.ts';
import type { CompactionResult } from './compaction/compaction.ts';
import type { CompactionSettings } from './compaction/select.ts';
import type { Marker } from './marker.ts';
import type { AbortedTransaction } from './txn-index.ts';

/*
 * The seam between the broker and where a partition's batches live (DESIGN 2, LogStore). Offsets are safe integers
 * inside the broker; they become int64 on the wire and bigint at the Engine.
 */

/** What one partition log is called on disk and to the world. */
export interface LogId {
  topic: string;
  /** 32 hex digits, no dashes: the topic's UUID. */
  topicId: string;
  partition: number;
}

/** Settings that may change while the log is open. */
export interface LogConfig {
  segmentBytes: number;
  segmentAgeMs: number;
  /** -1: for ever. */
  retentionMs: number;
  /** -1: without bound. */
  retentionBytes: number;
}

/** Watches every batch that enters the log, in order: producer state lives on this. All calls are synchronous. */
export interface LogObserver {
  /** At open: the newest snapshot that is still valid (or null), then `batch` for everything above it. */
  restore(snapshot: Uint8Array | null): void;
  /** A batch is in the log (at open: found by recovery). `header.baseOffset` is final. */
  batch(header: BatchHeader, marker: Marker | null): void;
  /** What the last batch seen aborted, if it was an abort marker that ended a transaction: kept in the log's index. */
  takeAborted?(): AbortedTransaction | null;
  /** First offset of the oldest transaction that has no marker yet; null when there is none. */
  firstOpenOffset?(): number | null;
  /** The offset that each known producer's last batch ends with: compaction keeps its header. */
  lastOffsets?(): Iterable<readonly [producerId: number, lastOffset: number]>;
  /** The state after the last batch seen: stored when a segment is rolled and at a clean close. */
  snapshot(): Uint8Array;
}

export interface Appended {
  baseOffset: number;
  lastOffset: number;
  /** Milliseconds; the log's clock when it appended. */
  appendTime: number;
  /** Resolves when the bytes are durable (at once with fsync off) and the high watermark covers them. Rejects with
   * kind `unavailable`, code STORAGE_ERROR when the sync failed: whether the bytes are there is then unknown. */
  durable: Promise<void>;
}

export interface ReadResult {
  /** Verbatim batches, the first containing the asked offset (or, where compaction removed that, the next one behind it),
   * later ones following. Views that must not be changed. */
  batches: Uint8Array[];
  sizeBytes: number;
  /** Offset behind the last batch returned; the asked offset when there is none. */
  nextOffset: number;
  /** May be called once, when nobody looks at the batches any more: the log then uses their memory again. Whoever does
   * not call it leaves them to the garbage collector. */
  release?: () => void;
}

/** One partition's log. Append and the getters are synchronous: the caller's event-loop turn is the lock. */
export interface PartitionLog {
  readonly id: LogId;
  readonly startOffset: number;
  /** Offset that the next record gets. */
  readonly endOffset: number;
  /** End of the last completed sync: nothing at or above it is served to anyone. */
  readonly highWatermark: number;
  /** Everything below is decided: the high watermark, or the first offset of the oldest open transaction below it. */
  readonly lastStableOffset: number;
  /** First offset of the oldest transaction that has no marker yet, also above the high watermark; null for none. */
  readonly firstOpenOffset: number | null;
  readonly leaderEpoch: number;
  readonly sizeBytes: number;

  /**
   * Takes `bytes` (whole batches one behind the other, CRC already checked by the caller), patches base offset and
   * leader epoch in place, and writes them. The bytes belong to the log afterwards: `retain = 'copy'` when they are a
   * small view of a big buffer that would be pinned by the tail cache. Throws kind `unavailable`: code DISK_FULL
   * (nothing was written; try again later) or STORAGE_ERROR (read-only until restart).
   */
  append(bytes: Uint8Array, headers: readonly BatchHeader[], retain?: 'own' | 'copy'): Appended;

  /** Batches from `offset` on, ending at the high watermark, or at `limit` when that is lower (a batch's edge, such as
   * the last stable offset); at least the first batch whatever its size. Nothing when `offset` is at or above the limit.
   * Throws kind `invalid`, code OFFSET_OUT_OF_RANGE outside [startOffset, highWatermark]. */
  read(offset: number, maxBytes: number, limit?: number): Promise<ReadResult>;

  /** Aborted transactions of which something lies in [from, to): readers of committed records skip a listed producer's
   * transactional batches from `firstOffset` up to its next abort marker. */
  abortedWithin(from: number, to: number): AbortedTransaction[];

  /** First offset below the high watermark whose record timestamp is >= `timestamp`; null when there is none. */
  offsetForTimestamp(timestamp: number): Promise<{ offset: number; timestamp: number } | null>;

  /** KIP-101: end offset of the newest epoch <= `epoch`; null when the log knows no such epoch. */
  endOffsetForEpoch(epoch: number): { epoch: number; endOffset: number } | null;

  /** Calls back (synchronously, once for each advance) after the high watermark moved. Returns the unsubscribe. */
  onAdvance(listener: () => void): () => void;

  /** The same, and after a marker ended a transaction: the last stable offset may have moved. */
  onStableAdvance(listener: () => void): () => void;

  /** Moves startOffset up; whole segments below it are removed. Resolves with where the log durably begins. */
  deleteBefore(offset: number): Promise<number>;

  /** Removes what time and size allow, never above `floor`. Called by the broker's housekeeping. */
  enforceRetention(nowMs: number, floor: number): Promise<void>;

  /** Removes records that a newer one of the same key replaces, from closed segments, and tombstones after their time;
   * offsets never change, but some are missing then. Null when there was too little to do. */
  compact(settings: CompactionSettings): Promise<CompactionResult | null>;

  configure(config: LogConfig): void;
}

export interface LogStore {
  /** Opens (recovering if need be) or creates the log. */
  open(id: LogId, config: LogConfig, observer?: LogObserver): Promise<PartitionLog>;
  /** Every log that the directory holds, or all of one topic. */
  list(topic?: string): Promise<LogId[]>;
  /** Closes and deletes one log with its files. */
  remove(id: LogId): Promise<void>;
  /** Syncs, writes snapshots and the clean-shutdown marker, closes all files. */
  close(): Promise<void>;
  /** Set once a sync has failed: everything is read-only until restart. */
  readonly failed: Error | null;
}
