import type { Clock } from '../base/clock.ts';
import type { Disk } from '../base/disk.ts';
import type { Logger } from '../base/logger.ts';
import type { OffsetCheckpoint } from './checkpoints.ts';
import type { CompactionRunner } from './compaction/task.ts';
import type { ReadBuffers } from './read-buffers.ts';
import type { SegmentPool } from './segment-pool.ts';
import type { SyncDomain } from './sync-domain.ts';
import type { TailCache } from './tail-cache.ts';

/** What the logs of one directory share. */
export interface LogContext {
  disk: Disk;
  clock: Clock;
  logger: Logger;
  sync: SyncDomain;
  cache: TailCache;
  pool: SegmentPool;
  readBuffers: ReadBuffers;
  /** Below these offsets everything was synced: recovery begins there. */
  recoveryPoints: OffsetCheckpoint;
  startOffsets: OffsetCheckpoint;
  /** Of the logs that are compacted: how far. */
  cleanerOffsets: OffsetCheckpoint;
  compaction: { runner: CompactionRunner; budgetBytes: number };
  /** An append is durable when synced (true) or when written (false). */
  fsync: boolean;
  /** Greatest step of preallocation; 0 for none. */
  preallocateBytes: number;
  /** At most `length` zeros, shared by all. */
  zeros: (length: number) => Uint8Array;
  /** Counts bytes that recovery would have to look at; may start a checkpoint. */
  wrote(bytes: number): void;
}
