import type { DiskFile } from '../base/disk.ts';
import { MillstreamError } from '../base/errors.ts';
import { type BatchHeader, nextOffsetAt } from './batch.ts';
import type { CompactionResult } from './compaction/compaction.ts';
import { LogCompaction } from './compaction/log-compaction.ts';
import type { CompactionSettings } from './compaction/select.ts';
import type { LeaderEpochs } from './leader-epochs.ts';
import { Listeners } from './listeners.ts';
import type { Appended, LogConfig, LogId, LogObserver, PartitionLog, ReadResult } from './log.ts';
import type { LogContext } from './log-context.ts';
import { asUnavailable, damaged, logClosed, outOfRange, readFailed } from './log-errors.ts';
import { logDirectoryName } from './log-files.ts';
import { type DiskRead, findTimestamp, readBatches } from './log-reader.ts';
import { LogStart } from './log-start.ts';
import { readMarker } from './marker.ts';
import { newSegment, type RecoveredLog } from './recovery.ts';
import { firstToKeep } from './retention.ts';
import type { Segment } from './segment.ts';
import { SegmentList } from './segment-list.ts';
import { extentOf, stamp } from './stamp.ts';
import type { SyncDomain } from './sync-domain.ts';
import type { CachedTail } from './tail-cache.ts';
import type { AbortedTransaction, TransactionIndex } from './txn-index.ts';
import { type Kept, Upkeep } from './upkeep.ts';

/** Positions and relative offsets are int32 in the index files. */
const MAX_INT32 = 0x7fffffff;
const DONE = Promise.resolve();

export interface PartitionLogParts {
  directory: string;
  id: LogId;
  config: LogConfig;
  observer: LogObserver | null;
  recovered: RecoveredLog;
  epochs: LeaderEpochs;
  aborted: TransactionIndex;
  /** Of the snapshot that the observer was restored from; -1 for none. */
  snapshotOffset: number;
}

export class LocalPartitionLog implements PartitionLog, Kept {
  readonly id: LogId;
  readonly name: string;
  endOffset: number;
  highWatermark: number;
  private readonly context: LogContext;
  private readonly directory: string;
  private readonly observer: LogObserver | null;
  private readonly epochs: LeaderEpochs;
  private readonly tail: CachedTail;
  private readonly segments: SegmentList;
  private readonly start: LogStart;
  private readonly listeners: Listeners;
  private readonly stableListeners: Listeners;
  private readonly aborted: TransactionIndex;
  private readonly syncFile = (file: DiskFile): Promise<void> => this.context.sync.datasync(file);
  active: Segment;
  private config: LogConfig;
  /** When the active segment got its first batch; null while it is empty. */
  private activeSince: number | null;
  /** Segments with bytes that no completed sync covers. */
  private dirty: Segment[] = [];
  private directoryDirty = false;
  private readonly upkeep: Upkeep;
  private readonly compaction: LogCompaction;
  private closed = false;

  constructor(context: LogContext, parts: PartitionLogParts) {
    const { recovered } = parts;
    this.context = context;
    this.directory = parts.directory;
    this.id = parts.id;
    this.name = logDirectoryName(parts.id);
    this.config = parts.config;
    this.observer = parts.observer;
    this.epochs = parts.epochs;
    this.aborted = parts.aborted;
    this.segments = new SegmentList(recovered.segments);
    this.active = recovered.active;
    this.endOffset = this.active.endOffset;
    this.highWatermark = this.endOffset;
    this.upkeep = new Upkeep(context, {
      directory: parts.directory,
      name: this.name,
      observer: parts.observer,
      aborted: parts.aborted,
      snapshotOffset: parts.snapshotOffset,
      uncheckedBytes: recovered.clean ? 0 : recovered.scannedBytes,
      isFinished: recovered.clean,
    });
    this.activeSince =
      recovered.firstTimestamp === null ? null : Math.min(Math.max(recovered.firstTimestamp, 0), context.clock.now());
    this.tail = context.cache.tail();
    const { name, directory, segments, upkeep, aborted, observer, tail } = this;
    const compacted = { name, directory, segments, upkeep, aborted, observer, tail, log: this };
    this.compaction = new LogCompaction(context, compacted);
    this.listeners = new Listeners(context.logger);
    this.stableListeners = new Listeners(context.logger);
    this.start = new LogStart(
      context,
      { name, directory, segments, upkeep, startOffset: recovered.startOffset },
      segment => {
        this.dirty = this.dirty.filter(other => other !== segment);
        this.aborted.removeBelow(segment.endOffset);
      },
    );
  }

  get startOffset(): number {
    return this.start.offset;
  }

  get leaderEpoch(): number {
    return this.epochs.latest;
  }

  get sizeBytes(): number {
    return this.segments.sizeBytes;
  }

  get firstOpenOffset(): number | null {
    return this.observer?.firstOpenOffset?.() ?? null;
  }

  get lastStableOffset(): number {
    const open = this.firstOpenOffset;
    // Its first records may have been deleted.
    return open === null ? this.highWatermark : Math.max(this.startOffset, Math.min(this.highWatermark, open));
  }

  /** Bytes above the recovery point: what recovery would have to look at. */
  get uncheckedBytes(): number {
    return this.upkeep.uncheckedBytes;
  }

  /** Whether anything waits for a sync (with fsync off: for the background flush). */
  get isDirty(): boolean {
    return this.dirty.length > 0;
  }

  append(bytes: Uint8Array, headers: readonly BatchHeader[], retain: 'own' | 'copy' = 'own'): Appended {
    this.mustBeWritable();
    const now = this.context.clock.now();
    const { sizeBytes, offsets } = extentOf(headers);
    if (sizeBytes !== bytes.length || sizeBytes === 0) {
      throw new MillstreamError('internal', 'BAD_APPEND', `headers of ${sizeBytes} bytes for ${bytes.length} bytes`);
    }
    if (this.mustRoll(sizeBytes, offsets, now)) this.roll();
    const baseOffset = this.endOffset;
    const endOffset = baseOffset + offsets;
    stamp(bytes, headers, baseOffset, this.epochs.latest);
    try {
      this.active.append(bytes, headers, this.config.segmentBytes);
    } catch (error) {
      if (error instanceof MillstreamError) throw error;
      throw this.context.sync.fail(error);
    }
    this.activeSince ??= now;
    this.endOffset = endOffset;
    if (!this.dirty.includes(this.active)) this.dirty.push(this.active);
    this.context.cache.add(this.tail, baseOffset, endOffset, bytes, retain === 'copy');
    const ended = this.observer ? this.observe(this.observer, bytes, headers) : false;
    this.upkeep.count(sizeBytes);
    let durable = DONE;
    if (this.context.fsync) durable = this.context.sync.requestSync(this);
    else this.advance(endOffset);
    if (ended) this.stableListeners.tell();
    return { baseOffset, lastOffset: endOffset - 1, appendTime: now, durable };
  }

  async read(offset: number, maxBytes: number, upTo = Infinity): Promise<ReadResult> {
    this.mustBeOpen();
    const { startOffset, highWatermark } = this;
    if (offset < startOffset || offset > highWatermark) throw outOfRange(offset, startOffset, highWatermark);
    const limit = Math.min(highWatermark, upTo);
    if (offset >= limit) return { batches: [], sizeBytes: 0, nextOffset: offset };
    const cached = this.tail.read(offset, limit, maxBytes);
    const { batches, buffer } = cached
      ? { batches: cached, buffer: null }
      : await this.readDisk(offset, limit, maxBytes);
    let sizeBytes = 0;
    for (const batch of batches) sizeBytes += batch.length;
    const newest = batches[batches.length - 1] as Uint8Array;
    const nextOffset = nextOffsetAt(newest, 0);
    if (!buffer) return { batches, sizeBytes, nextOffset };
    return { batches, sizeBytes, nextOffset, release: () => this.context.readBuffers.give(buffer) };
  }

  abortedWithin(from: number, to: number): AbortedTransaction[] {
    return this.aborted.within(from, to);
  }

  async offsetForTimestamp(timestamp: number): Promise<{ offset: number; timestamp: number } | null> {
    this.mustBeOpen();
    for (const segment of this.segments.all.slice()) {
      try {
        if ((await segment.newestTimestamp()) < timestamp) continue;
        const { readBuffers } = this.context;
        const found = await findTimestamp(segment, readBuffers, timestamp, this.startOffset, this.highWatermark);
        if (found) return found;
      } catch (error) {
        // Removed by retention meanwhile, or compacted.
        if (segment.endOffset <= this.startOffset) continue;
        if (!this.segments.all.includes(segment) && !this.closed) return this.offsetForTimestamp(timestamp);
        throw this.readError(error);
      }
    }
    return null;
  }

  endOffsetForEpoch(epoch: number): { epoch: number; endOffset: number } | null {
    return this.epochs.endOffsetFor(epoch, this.highWatermark);
  }

  onAdvance(listener: () => void): () => void {
    return this.listeners.add(listener);
  }

  onStableAdvance(listener: () => void): () => void {
    const stops = [this.listeners.add(listener), this.stableListeners.add(listener)];
    return () => stops.forEach(stop => stop());
  }

  configure(config: LogConfig): void {
    this.config = config;
  }

  async deleteBefore(offset: number): Promise<number> {
    this.mustBeWritable();
    if (offset > this.highWatermark || offset < 0) throw outOfRange(offset, this.startOffset, this.highWatermark);
    return this.start.moveTo(offset, this);
  }

  async enforceRetention(nowMs: number, floor: number): Promise<void> {
    this.mustBeWritable();
    if (this.isTooOld(nowMs)) this.rollIfPossible();
    await this.upkeep.inTurn(async () => {
      const limit = Math.min(floor, this.highWatermark);
      const keep = await firstToKeep(this.segments.all, this.config, nowMs, limit);
      if (keep > this.startOffset) this.start.offset = keep;
      const [first] = this.segments.all;
      if (first && first !== this.active && first.endOffset <= this.startOffset) await this.start.apply(this);
    });
  }

  compact(settings: CompactionSettings): Promise<CompactionResult | null> {
    this.mustBeWritable();
    return this.compaction.run(settings, this.config.segmentBytes);
  }

  /** Called by the domain, never twice at a time. */
  async sync(domain: SyncDomain): Promise<void> {
    const end = this.endOffset;
    const jobs: Promise<void>[] = [];
    for (const segment of this.dirty) jobs.push(segment.datasync(this.syncFile));
    this.dirty = [];
    if (this.directoryDirty) {
      this.directoryDirty = false;
      jobs.push(domain.syncDirectory(this.directory));
    }
    if (jobs.length === 1) await jobs[0];
    else await Promise.all(jobs);
    if (this.context.fsync) this.advance(end);
  }

  /** Moves the recovery point to the end; the caller stores it. */
  checkpoint(): Promise<void> {
    // Its folder may be another log's by now.
    return this.closed ? DONE : this.upkeep.checkpoint(this);
  }

  /** Leaves the files as Kafka expects those of a closed log. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    try {
      await this.compaction.close();
      await this.upkeep.idle();
      if (!this.upkeep.isFinished && !this.context.sync.failed) await this.upkeep.finish(this);
    } finally {
      await this.release();
    }
  }

  /** Closes without care for the files, which are about to be removed. */
  async discard(): Promise<void> {
    this.closed = true;
    await this.compaction.close();
    await this.upkeep.idle();
    await this.release();
  }

  private async release(): Promise<void> {
    this.context.sync.forget(this, logClosed(this.name));
    this.context.cache.drop(this.tail);
    this.listeners.clear();
    this.stableListeners.clear();
    await Promise.all(this.segments.all.map(segment => segment.close()));
  }

  private async readDisk(offset: number, limit: number, maxBytes: number): Promise<DiskRead> {
    const segment = this.segments.find(offset);
    const { readBuffers } = this.context;
    try {
      const read = await readBatches(segment, readBuffers, offset, limit, maxBytes);
      if (read.buffer) return read;
      // Nothing but emptied batches: they are handed out only when nothing comes behind them.
      if (read.passedTo >= limit) return await readBatches(segment, readBuffers, offset, limit, maxBytes, true);
      if (read.passedTo > offset) return await this.readDisk(read.passedTo, limit, maxBytes);
      // An index that passes for one but leads astray.
      if (!segment.isWritable) await segment.rebuildIndexes();
      const again = await readBatches(segment, readBuffers, offset, limit, maxBytes);
      if (again.buffer) return again;
    } catch (error) {
      if (offset < this.startOffset) throw outOfRange(offset, this.startOffset, limit);
      // Compacted meanwhile: the records are elsewhere.
      if (this.segments.find(offset) !== segment && !this.closed) return this.readDisk(offset, limit, maxBytes);
      throw this.readError(error);
    }
    throw damaged(this.name, offset);
  }

  private readError(error: unknown): Error {
    if (this.closed) return logClosed(this.name);
    return error instanceof MillstreamError ? error : readFailed(this.name, error);
  }

  private advance(end: number): void {
    if (end <= this.highWatermark) return;
    this.highWatermark = end;
    this.listeners.tell();
  }

  /** Shows the observer what was appended; true when a transaction ended with it. */
  private observe(observer: LogObserver, bytes: Uint8Array, headers: readonly BatchHeader[]): boolean {
    let ended = false;
    let at = 0;
    for (const header of headers) {
      const marker = readMarker(bytes, at, header);
      observer.batch(header, marker);
      at += header.sizeBytes;
      if (!marker) continue;
      ended = true;
      const aborted = observer.takeAborted?.();
      if (aborted) this.aborted.add(aborted);
    }
    return ended;
  }

  private mustRoll(sizeBytes: number, offsets: number, now: number): boolean {
    const { active, config } = this;
    if (active.sizeBytes === 0) return false;
    return (
      active.sizeBytes + sizeBytes > Math.min(config.segmentBytes, MAX_INT32) ||
      this.endOffset + offsets - active.baseOffset > MAX_INT32 ||
      this.isTooOld(now)
    );
  }

  private isTooOld(now: number): boolean {
    return this.activeSince !== null && now - this.activeSince >= this.config.segmentAgeMs;
  }

  /** Starts a new segment; the old one is sealed in the background. Throws DISK_FULL with nothing changed. */
  private roll(): void {
    let fresh: Segment;
    try {
      fresh = newSegment(this.context, this.directory, this.endOffset);
    } catch (error) {
      throw asUnavailable(error);
    }
    this.upkeep.roll(this.active);
    this.segments.push(fresh);
    this.active = fresh;
    this.activeSince = null;
    this.directoryDirty = true;
  }

  /** On a full disk the segment goes on; what follows may make room. */
  private rollIfPossible(): void {
    try {
      this.roll();
    } catch (error) {
      this.context.logger.warn('A segment could not be rolled.', { log: this.name, error });
    }
  }

  private mustBeOpen(): void {
    if (this.closed) throw logClosed(this.name);
  }

  private mustBeWritable(): void {
    this.mustBeOpen();
    if (this.context.sync.failed) throw this.context.sync.failed;
  }
}
