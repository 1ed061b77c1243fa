import type { Clock, Timer } from '../base/clock.ts';
import type { Disk } from '../base/disk.ts';
import { MillstreamError } from '../base/errors.ts';
import type { LockHost } from '../base/lock-host.ts';
import type { Logger } from '../base/logger.ts';
import { makeDirectoryDurably } from '../base/make-directory.ts';
import type { Metrics } from '../base/metrics.ts';
import type { Random } from '../base/random.ts';
import { inlineRunner } from './compaction/inline-runner.ts';
import type { CompactionRunner } from './compaction/task.ts';
import { OffsetCheckpoint, replaceFile } from './checkpoints.ts';
import { LeaderEpochs } from './leader-epochs.ts';
import { Limit } from './limit.ts';
import type { LogConfig, LogId, LogObserver, LogStore, PartitionLog } from './log.ts';
import { DirectoryLock } from './directory-lock.ts';
import type { LogContext } from './log-context.ts';
import { logClosed } from './log-errors.ts';
import {
  DELETED_SUFFIX,
  EPOCHS_FILE,
  logDirectoryName,
  METADATA_FILE,
  parseLogDirectoryName,
  parseMetadata,
  readWhole,
  writeAll,
  writeMetadata,
} from './log-files.ts';
import { LocalPartitionLog } from './partition-log.ts';
import { ReadBuffers } from './read-buffers.ts';
import { type RecoveredLog, recoverLog } from './recovery.ts';
import { SegmentPool } from './segment-pool.ts';
import { restoreObserver } from './snapshots.ts';
import { SyncDomain } from './sync-domain.ts';
import { TailCache } from './tail-cache.ts';
import { TransactionIndex } from './txn-index.ts';

export interface LocalLogStoreOptions {
  /** Holds one folder for each log; made if it is missing. */
  directory: string;
  disk: Disk;
  clock: Clock;
  logger: Logger;
  metrics?: Metrics;
  /** Keeps other processes out of the directory. Left out: nothing does (a disk that is this process's alone). */
  lockHost?: LockHost;
  /** Nothing in the store is left to chance as yet; taken so that callers hand in all sources of it. */
  random?: Random;
  /** True: an append is durable, and readable, once it is synced. False: at once, as in Kafka. */
  fsync: boolean;
  /** With fsync off: how often what was written is synced in the background. */
  flushIntervalMs: number;
  /** Memory for the newest batches of all logs. */
  cacheBytes: number;
  /** Greatest step of zeros written ahead of a segment's end, at most 16 MiB. 0 for none. Default 256 KiB:
   * bigger steps save little and make the sync that comes with each one slow. */
  preallocateBytes?: number;
  /** Files synced at a time. Default 16. */
  parallelSyncs?: number;
  /** Bytes of all logs together that recovery may have to check after a crash. Default 128 MiB. */
  recoveryBytes?: number;
  /** Does the work of compaction on the batches' bytes. Default: in slices on this thread. */
  compactionRunner?: CompactionRunner;
  /** Memory for the keys of the log that is being compacted. Default 64 MiB. */
  compactionBytes?: number;
}

const CLEAN_MARKER = '.kafka_cleanshutdown';
const ZERO_BYTES = 256 * 1024;
/** Closed segments of all logs that keep their file and indexes open. */
const POOL_SEGMENTS = 256;
/** Each may hold a chunk of a segment in memory while it checks it. */
const PARALLEL_OPENS = 32;
const MAX_PREALLOCATE_BYTES = 16 * 1024 * 1024;

/** Opens (or makes) a directory of logs in Kafka's layout. */
export async function openLocalLogStore(options: LocalLogStoreOptions): Promise<LogStore> {
  const { disk, directory } = options;
  await makeDirectoryDurably(disk, directory);
  const lock = options.lockHost ? await DirectoryLock.acquire(options.lockHost, directory) : null;
  const store = new LocalLogStore(options, lock);
  try {
    await store.start();
  } catch (error) {
    await lock?.release();
    throw error;
  }
  return store;
}

class LocalLogStore implements LogStore {
  private readonly options: LocalLogStoreOptions;
  private readonly lock: DirectoryLock | null;
  private readonly context: LogContext;
  private readonly logs = new Map<string, LocalPartitionLog>();
  private readonly opening = new Map<string, Promise<LocalPartitionLog>>();
  private readonly opens = new Limit(PARALLEL_OPENS);
  private readonly recoveryBytes: number;
  private wasClean = false;
  private sinceCheckpoint = 0;
  private checkpointing: Promise<void> | null = null;
  private flushTimer: Timer | null = null;
  private closed = false;

  constructor(options: LocalLogStoreOptions, lock: DirectoryLock | null) {
    this.options = options;
    this.lock = lock;
    const { disk, clock, logger, directory } = options;
    const sync = new SyncDomain(disk, options.parallelSyncs ?? 16, error => {
      logger.error('A sync failed: the logs are read-only until a restart.', { directory, error });
    });
    let zeros: Uint8Array | null = null;
    this.recoveryBytes = options.recoveryBytes ?? 128 * 1024 * 1024;
    this.context = {
      disk,
      clock,
      logger,
      sync,
      cache: new TailCache(options.cacheBytes),
      pool: new SegmentPool(POOL_SEGMENTS),
      readBuffers: new ReadBuffers(),
      recoveryPoints: new OffsetCheckpoint(disk, sync, directory, 'recovery-point-offset-checkpoint'),
      startOffsets: new OffsetCheckpoint(disk, sync, directory, 'log-start-offset-checkpoint'),
      cleanerOffsets: new OffsetCheckpoint(disk, sync, directory, 'cleaner-offset-checkpoint'),
      compaction: {
        runner: options.compactionRunner ?? inlineRunner,
        budgetBytes: options.compactionBytes ?? 64 * 1024 * 1024,
      },
      fsync: options.fsync,
      // Without syncs nobody waits for the blocks: zeros would only be written twice.
      preallocateBytes: options.fsync ? Math.min(options.preallocateBytes ?? ZERO_BYTES, MAX_PREALLOCATE_BYTES) : 0,
      zeros: length => (zeros ??= new Uint8Array(ZERO_BYTES)).subarray(0, length),
      wrote: bytes => this.count(bytes),
    };
  }

  get failed(): Error | null {
    return this.context.sync.failed;
  }

  async start(): Promise<void> {
    const { disk, sync, recoveryPoints, startOffsets, cleanerOffsets } = this.context;
    const { directory } = this.options;
    const marker = `${directory}/${CLEAN_MARKER}`;
    this.wasClean = await disk.exists(marker);
    // Gone for good before the first append: whatever ends this process without close() leaves no marker.
    await disk.remove(marker);
    for (const name of await disk.list(directory)) {
      if (name.endsWith(DELETED_SUFFIX)) await disk.removeDirectory(`${directory}/${name}`);
    }
    await sync.syncDirectory(directory);
    if (!this.wasClean && (await this.list()).length > 0) {
      this.options.logger.warn('The last process did not stop properly: the ends of the logs are checked.');
    }
    await recoveryPoints.load();
    await startOffsets.load();
    await cleanerOffsets.load();
    if (!this.options.fsync) this.scheduleFlush();
    if (this.options.metrics) this.report(this.options.metrics);
  }

  async open(id: LogId, config: LogConfig, observer?: LogObserver): Promise<PartitionLog> {
    this.mustBeOpen();
    const name = logDirectoryName(id);
    if (this.logs.has(name) || this.opening.has(name)) {
      throw new MillstreamError('conflict', 'LOG_OPEN', `the log ${name} is open already`);
    }
    const opened = this.opens.run(() => this.openLog(name, id, config, observer ?? null));
    this.opening.set(name, opened);
    try {
      const log = await opened;
      this.logs.set(name, log);
      // What recovery has looked at need not be looked at again after the next crash.
      this.count(log.uncheckedBytes);
      return log;
    } finally {
      this.opening.delete(name);
    }
  }

  async list(topic?: string): Promise<LogId[]> {
    const { directory, disk } = this.options;
    const names = (await disk.list(directory)).filter(name => !name.endsWith(DELETED_SUFFIX));
    const found = names.map(async (name): Promise<LogId[]> => {
      const parsed = parseLogDirectoryName(name);
      if (parsed === null || parsed.topic !== (topic ?? parsed.topic)) return [];
      const metadata = await readWhole(disk, `${directory}/${name}/${METADATA_FILE}`);
      const topicId = metadata && parseMetadata(metadata.toString());
      return topicId ? [{ ...parsed, topicId }] : [];
    });
    return (await Promise.all(found)).flat();
  }

  async remove(id: LogId): Promise<void> {
    this.mustBeOpen();
    const { disk, sync, recoveryPoints, startOffsets, cleanerOffsets } = this.context;
    const { directory } = this.options;
    const name = logDirectoryName(id);
    await this.logs.get(name)?.discard();
    this.logs.delete(name);
    // First, and whether or not the folder is there: a log that is made again by this name must not find them.
    for (const offsets of [recoveryPoints, startOffsets, cleanerOffsets]) {
      if (offsets.delete(name)) await offsets.save();
    }
    // A start has ended the removal that a crash cut off behind the rename, and synced that.
    if (!(await disk.exists(`${directory}/${name}`))) return;
    const doomed = `${directory}/${name}.${id.topicId}${DELETED_SUFFIX}`;
    await disk.rename(`${directory}/${name}`, doomed);
    await sync.syncDirectory(directory);
    await disk.removeDirectory(doomed);
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.flushTimer?.cancel();
    await Promise.allSettled(this.opening.values());
    await this.checkpointing;
    try {
      await this.finish();
    } catch (error) {
      // Everything that was acknowledged is safe: the next start looks at more than it would have to.
      this.options.logger.warn('The logs could not be closed properly.', { error });
    } finally {
      await this.lock?.release();
    }
  }

  private async finish(): Promise<void> {
    const { sync, recoveryPoints, startOffsets } = this.context;
    const { directory } = this.options;
    const closings = await Promise.allSettled([...this.logs.values()].map(log => log.close()));
    for (const closing of closings) if (closing.status === 'rejected') throw closing.reason;
    if (sync.failed) return;
    await recoveryPoints.save();
    await startOffsets.save();
    await this.leaveMarker(`${directory}/${CLEAN_MARKER}`);
    await sync.syncDirectory(directory);
  }

  /** What Kafka writes there. Not synced: its name says all. */
  private async leaveMarker(path: string): Promise<void> {
    const file = await this.options.disk.open(path, 'create');
    try {
      await writeAll(file, Buffer.from('{"version":0,"brokerEpoch":-1}'), 0);
    } finally {
      await file.close();
    }
  }

  private async openLog(
    name: string,
    id: LogId,
    config: LogConfig,
    observer: LogObserver | null,
  ): Promise<LocalPartitionLog> {
    const { disk, recoveryPoints, startOffsets, cleanerOffsets } = this.context;
    const directory = `${this.options.directory}/${name}`;
    const metadata = await readWhole(disk, `${directory}/${METADATA_FILE}`);
    const topicId = metadata && parseMetadata(metadata.toString());
    if (topicId && topicId !== id.topicId) {
      throw new MillstreamError('conflict', 'TOPIC_ID_MISMATCH', `the log ${name} belongs to topic id ${topicId}`, {
        help: 'the topic was made anew: remove the old log first',
      });
    }
    if (!topicId) await this.create(directory, id);
    const recovered = await recoverLog(this.context, directory, {
      clean: this.wasClean,
      recoveryPoint: recoveryPoints.get(name) ?? 0,
      startOffset: startOffsets.get(name) ?? 0,
      cleanedTo: cleanerOffsets.get(name),
    });
    const epochs = await this.openEpochs(directory, recovered);
    const { segments } = recovered;
    const observed = observer
      ? await restoreObserver(this.context, directory, segments, observer)
      : { snapshotOffset: -1, aborted: new TransactionIndex() };
    // Of segments that recovery closed: the next snapshot no longer knows these transactions.
    for (const segment of segments.slice(0, -1)) {
      await observed.aborted.save(disk, directory, segment, file => this.context.sync.datasync(file));
    }
    return new LocalPartitionLog(this.context, { directory, id, config, observer, recovered, epochs, ...observed });
  }

  /** The folder's name is durable once open() has resolved; partition.metadata says that it was finished. */
  private async create(directory: string, id: LogId): Promise<void> {
    const { disk, sync } = this.context;
    await disk.makeDirectory(directory);
    await replaceFile(disk, sync, directory, METADATA_FILE, Buffer.from(writeMetadata(id.topicId)));
    await sync.syncDirectory(this.options.directory);
  }

  /** After anything but a clean stop a new epoch begins: what was above the old one's end was served to nobody, and
   * whoever remembers it anyway (fsync off) can tell. Durable before it is used. */
  private async openEpochs(directory: string, recovered: RecoveredLog): Promise<LeaderEpochs> {
    const { disk, sync } = this.context;
    const text = await readWhole(disk, `${directory}/${EPOCHS_FILE}`);
    const stored = text && LeaderEpochs.parse(text.toString());
    if (stored && recovered.clean) return stored;
    const epochs = stored ?? new LeaderEpochs();
    epochs.truncateEnd(recovered.active.endOffset);
    epochs.assign(epochs.latest + 1, stored ? recovered.active.endOffset : recovered.startOffset);
    await replaceFile(disk, sync, directory, EPOCHS_FILE, Buffer.from(epochs.toText()));
    await sync.syncDirectory(directory);
    return epochs;
  }

  /** Bytes that recovery would have to look at from now on. */
  private count(bytes: number): void {
    this.sinceCheckpoint += bytes;
    if (this.sinceCheckpoint > this.recoveryBytes && !this.checkpointing) this.startCheckpoint();
  }

  /** Moves recovery points up until recovery would have half of what it may look at, biggest logs first. */
  private startCheckpoint(): void {
    this.checkpointing = this.checkpoint()
      .catch((error: unknown) => {
        if (!this.failed) this.options.logger.warn('A checkpoint of the logs failed.', { error });
      })
      .finally(() => (this.checkpointing = null));
  }

  private async checkpoint(): Promise<void> {
    const logs = [...this.logs.values()].toSorted((a, b) => b.uncheckedBytes - a.uncheckedBytes);
    let left = logs.reduce((sum, log) => sum + log.uncheckedBytes, 0);
    for (const log of logs) {
      if (left <= this.recoveryBytes / 2) break;
      left -= log.uncheckedBytes;
      await log.checkpoint();
    }
    await this.context.recoveryPoints.save();
    this.sinceCheckpoint = [...this.logs.values()].reduce((sum, log) => sum + log.uncheckedBytes, 0);
  }

  private scheduleFlush(): void {
    this.flushTimer = this.options.clock.setTimer(this.options.flushIntervalMs, () => {
      for (const log of this.logs.values()) if (log.isDirty) void this.context.sync.requestSync(log);
      if (!this.failed && !this.closed) this.scheduleFlush();
    });
  }

  private report(metrics: Metrics): void {
    const size = metrics.gauge('millstream_wal_size_bytes', 'Bytes of batches in all local logs.');
    const hits = metrics.gauge('millstream_cache_hit_ratio', 'Share of log reads answered from memory.');
    metrics.beforeRead(() => {
      const { cache } = this.context;
      size.set([...this.logs.values()].reduce((sum, log) => sum + log.sizeBytes, 0));
      hits.set(cache.hits + cache.misses === 0 ? 0 : cache.hits / (cache.hits + cache.misses));
    });
  }

  private mustBeOpen(): void {
    if (this.closed) throw logClosed(this.options.directory);
  }
}
