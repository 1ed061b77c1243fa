import { MillstreamError } from '../base/errors.ts';
import { type BatchHeader, lastOffset, patchBatch, readBatchHeader } from './batch.ts';
import { replaceFile } from './checkpoints.ts';
import type { LeaderEpochs } from './leader-epochs.ts';
import type { Appended, LogConfig, LogId, LogObserver, PartitionLog, ReadResult } from './log.ts';
import type { LogContext } from './log-context.ts';
import { diskFull, isNoSpace, logClosed, outOfRange, storageError } from './log-errors.ts';
import { logDirectoryName, offsetInName, offsetName, SUFFIX } from './log-files.ts';
import { findTimestamp, readBatches } from './log-reader.ts';
import { Preallocation } from './preallocation.ts';
import type { RecoveredLog } from './recovery.ts';
import { removableSegments } from './retention.ts';
import { Segment } from './segment.ts';
import type { SyncDomain, SyncTarget } from './sync-domain.ts';
import type { CachedTail } from './tail-cache.ts';

/** Positions and relative offsets are int32 in the index files. */
const MAX_INT32 = 0x7fffffff;
const DONE = Promise.resolve();
const KEPT_SNAPSHOTS = 2;

/** One partition's log on the local disk. */
export class LocalPartitionLog implements PartitionLog, SyncTarget {
  readonly id: LogId;
  readonly name: string;
  startOffset: number;
  endOffset: number;
  highWatermark: number;
  private readonly context: LogContext;
  private readonly directory: string;
  private readonly observer: LogObserver | null;
  private readonly epochs: LeaderEpochs;
  private readonly tail: CachedTail;
  private readonly segments: Segment[];
  private active: Segment;
  private config: LogConfig;
  /** When the active segment got its first batch; null while it is empty. */
  private activeSince: number | null;
  private readonly listeners = new Set<() => void>();
  /** Segments with bytes that no completed sync covers. */
  private dirty = new Set<Segment>();
  private directoryDirty = false;
  private snapshotOffset: number;
  /** Seals, checkpoints and removals, one after the other. */
  private maintenance: Promise<void> = DONE;
  private closed = false;

  constructor(
    context: LogContext,
    directory: string,
    id: LogId,
    config: LogConfig,
    observer: LogObserver | null,
    recovered: RecoveredLog,
    epochs: LeaderEpochs,
  ) {
    this.context = context;
    this.directory = directory;
    this.id = id;
    this.name = logDirectoryName(id);
    this.config = config;
    this.observer = observer;
    this.epochs = epochs;
    this.segments = recovered.segments;
    this.active = recovered.active;
    this.startOffset = recovered.startOffset;
    this.endOffset = this.active.endOffset;
    this.highWatermark = this.endOffset;
    this.snapshotOffset = -1;
    this.activeSince = this.active.sizeBytes > 0 ? context.clock.now() : null;
    this.tail = context.cache.tail();
  }

  get leaderEpoch(): number {
    return this.epochs.latest;
  }

  get sizeBytes(): number {
    return this.segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  /** Bytes behind the recovery point: what recovery would have to look at. */
  get uncheckedBytes(): number {
    return this.unchecked;
  }
  private unchecked = 0;

  append(bytes: Uint8Array, headers: readonly BatchHeader[], retain: 'own' | 'copy' = 'own'): Appended {
    this.mustBeWritable();
    const now = this.context.clock.now();
    let size = 0;
    let records = 0;
    for (const header of headers) {
      size += header.sizeBytes;
      records += header.lastOffsetDelta + 1;
    }
    if (size !== bytes.length || size === 0) {
      throw new MillstreamError(
        'internal',
        'BAD_APPEND',
        `headers of ${size} bytes for ${bytes.length} bytes of batches`,
      );
    }
    if (this.mustRoll(size, records, now)) this.roll();
    const { active } = this;
    const baseOffset = this.endOffset;
    const epoch = this.epochs.latest;
    let next = baseOffset;
    let at = 0;
    for (const header of headers) {
      patchBatch(bytes, at, next, epoch);
      header.baseOffset = next;
      header.leaderEpoch = epoch;
      next += header.lastOffsetDelta + 1;
      at += header.sizeBytes;
    }
    try {
      active.append(bytes, headers, this.config.segmentBytes);
    } catch (error) {
      if (error instanceof MillstreamError) throw error;
      throw this.context.sync.fail(error);
    }
    this.activeSince ??= now;
    this.endOffset = next;
    this.dirty.add(active);
    this.context.cache.add(this.tail, baseOffset, next, bytes, retain === 'copy');
    if (this.observer) for (const header of headers) this.observer.batch(header);
    this.unchecked += size;
    this.context.wrote(size);
    let durable = DONE;
    if (this.context.fsync) durable = this.context.sync.requestSync(this);
    else this.advance(next);
    return { baseOffset, lastOffset: next - 1, appendTime: now, durable };
  }

  async read(offset: number, maxBytes: number): Promise<ReadResult> {
    this.mustBeOpen();
    const limit = this.highWatermark;
    if (offset < this.startOffset || offset > limit) throw outOfRange(offset, this.startOffset, limit);
    if (offset === limit) return { batches: [], sizeBytes: 0, nextOffset: offset };
    const batches =
      this.tail.read(offset, limit, maxBytes) ?? (await readBatches(this.segmentOf(offset), offset, limit, maxBytes));
    let sizeBytes = 0;
    for (const batch of batches) sizeBytes += batch.length;
    const newest = batches.at(-1);
    return { batches, sizeBytes, nextOffset: newest ? lastOffset(readBatchHeader(newest)) + 1 : offset };
  }

  async offsetForTimestamp(timestamp: number): Promise<{ offset: number; timestamp: number } | null> {
    this.mustBeOpen();
    for (const segment of this.segments.slice()) {
      if (segment.endOffset <= this.startOffset || (await segment.newestTimestamp()) < timestamp) continue;
      const found = await findTimestamp(segment, timestamp, this.startOffset, this.highWatermark);
      if (found) return found;
    }
    return null;
  }

  endOffsetForEpoch(epoch: number): { epoch: number; endOffset: number } | null {
    return this.epochs.endOffsetFor(epoch, this.highWatermark);
  }

  onAdvance(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  configure(config: LogConfig): void {
    this.config = config;
  }

  async deleteBefore(offset: number): Promise<void> {
    this.mustBeWritable();
    if (offset > this.highWatermark || offset < 0) throw outOfRange(offset, this.startOffset, this.highWatermark);
    if (offset <= this.startOffset) return;
    await this.moveStart(offset);
  }

  async enforceRetention(nowMs: number, floor: number): Promise<void> {
    this.mustBeWritable();
    if (this.isTooOld(nowMs)) this.roll();
    const limit = Math.min(floor, this.highWatermark);
    const start = await removableSegments(this.segments, this.config, nowMs, limit);
    if (start > this.startOffset) await this.moveStart(start);
  }

  /** SyncTarget: called by the domain, never twice at a time. */
  async sync(domain: SyncDomain): Promise<void> {
    const end = this.endOffset;
    const dirty = this.dirty;
    const jobs: Promise<void>[] = [];
    this.dirty = new Set();
    for (const segment of dirty) jobs.push(segment.datasync(file => domain.datasync(file)));
    if (this.directoryDirty) {
      this.directoryDirty = false;
      jobs.push(domain.syncDirectory(this.directory));
    }
    if (jobs.length === 1) await jobs[0];
    else await Promise.all(jobs);
    if (this.context.fsync) this.advance(end);
  }

  /** With fsync off: whether the background flush has something to do. */
  get isDirty(): boolean {
    return this.dirty.size > 0;
  }

  /** Moves the recovery point to the end (stored by the caller): index entries and the observer's state are synced. */
  checkpoint(): Promise<void> {
    return this.inTurn(async () => {
      const end = this.endOffset;
      const unchecked = this.unchecked;
      const snapshot = this.takeSnapshot();
      await this.context.sync.requestSync(this);
      await this.active.saveIndexes(file => this.context.sync.datasync(file));
      if (snapshot) await this.saveSnapshot(end, snapshot);
      this.context.recoveryPoints.set(this.name, end);
      this.unchecked -= unchecked;
    });
  }

  /** Makes the files what Kafka expects of a closed log. `keep` false: they are about to be removed. */
  async close(keep: boolean): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.maintenance;
    const { sync, recoveryPoints } = this.context;
    if (keep && !sync.failed) {
      await sync.requestSync(this);
      const snapshot = this.takeSnapshot();
      await this.active.seal(file => sync.datasync(file));
      if (snapshot) await this.saveSnapshot(this.endOffset, snapshot);
      recoveryPoints.set(this.name, this.endOffset);
    }
    sync.forget(this);
    this.context.cache.drop(this.tail);
    this.listeners.clear();
    for (const segment of this.segments) await segment.close();
  }

  private advance(end: number): void {
    if (end <= this.highWatermark) return;
    this.highWatermark = end;
    for (const listener of this.listeners) listener();
  }

  private mustRoll(size: number, records: number, now: number): boolean {
    const { active, config } = this;
    if (active.sizeBytes === 0) return false;
    return (
      active.sizeBytes + size > Math.min(config.segmentBytes, MAX_INT32) ||
      this.endOffset + records - active.baseOffset > MAX_INT32 ||
      this.isTooOld(now)
    );
  }

  private isTooOld(now: number): boolean {
    return this.activeSince !== null && now - this.activeSince >= this.config.segmentAgeMs;
  }

  /** Starts a new segment; the old one is sealed in the background. Throws DISK_FULL with nothing changed. */
  private roll(): void {
    const { disk, clock, preallocateBytes, zeros } = this.context;
    const old = this.active;
    const fresh = new Segment(disk, this.directory, this.endOffset, 0, this.endOffset);
    try {
      const file = disk.openSync(fresh.path(SUFFIX.log), 'create');
      fresh.openForAppend(file, null, new Preallocation(file, clock, 0, preallocateBytes, zeros));
    } catch (error) {
      throw isNoSpace(error) ? diskFull(error) : storageError(error);
    }
    const snapshot = this.takeSnapshot();
    this.segments.push(fresh);
    this.active = fresh;
    this.activeSince = null;
    this.directoryDirty = true;
    void this.inTurn(() => this.sealRolled(old, snapshot));
  }

  private async sealRolled(old: Segment, snapshot: Uint8Array | null): Promise<void> {
    const { sync, recoveryPoints, logger } = this.context;
    try {
      await old.seal(file => sync.datasync(file));
      if (snapshot) await this.saveSnapshot(old.endOffset, snapshot);
      await sync.syncDirectory(this.directory);
      recoveryPoints.set(this.name, old.endOffset);
      await old.unload();
    } catch (error) {
      logger.warn('A rolled segment could not be finished; recovery will do it.', { log: this.name, error });
    }
  }

  private async moveStart(offset: number): Promise<void> {
    this.startOffset = offset;
    this.context.startOffsets.set(this.name, offset);
    await this.context.startOffsets.save();
    await this.inTurn(async () => {
      while (this.segments.length > 1 && (this.segments[0] as Segment).endOffset <= this.startOffset) {
        const [segment] = this.segments.splice(0, 1);
        await segment?.remove();
      }
    });
  }

  private takeSnapshot(): Uint8Array | null {
    if (!this.observer || this.snapshotOffset === this.endOffset) return null;
    this.snapshotOffset = this.endOffset;
    return this.observer.snapshot();
  }

  private async saveSnapshot(offset: number, bytes: Uint8Array): Promise<void> {
    const { disk, sync } = this.context;
    await replaceFile(disk, sync, this.directory, offsetName(offset, SUFFIX.snapshot), bytes);
    await sync.syncDirectory(this.directory);
    const older = (await disk.list(this.directory))
      .map(name => offsetInName(name, SUFFIX.snapshot))
      .filter(found => found !== null)
      .toSorted((a, b) => b - a)
      .slice(KEPT_SNAPSHOTS);
    for (const found of older) await disk.remove(`${this.directory}/${offsetName(found, SUFFIX.snapshot)}`);
  }

  private segmentOf(offset: number): Segment {
    let low = 0;
    let high = this.segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.segments[middle] as Segment).baseOffset <= offset) low = middle;
      else high = middle - 1;
    }
    return this.segments[low] as Segment;
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.maintenance.then(work);
    this.maintenance = done.catch(() => {});
    return done;
  }

  private mustBeOpen(): void {
    if (this.closed) throw logClosed(this.name);
  }

  private mustBeWritable(): void {
    this.mustBeOpen();
    if (this.context.sync.failed) throw this.context.sync.failed;
  }
}
