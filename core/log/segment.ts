import type { Disk, DiskFile } from '../base/disk.ts';
import { BATCH_HEADER_BYTES, type BatchHeader, lastOffset, readBatchHeader } from './batch.ts';
import { diskFull, isNoSpace } from './log-errors.ts';
import { offsetName, SUFFIX } from './log-files.ts';
import type { Preallocation } from './preallocation.ts';
import { scanBatches } from './scan.ts';
import { SegmentIndexes } from './segment-indexes.ts';
import type { SegmentPool, Unloadable } from './segment-pool.ts';

type SyncFile = (file: DiskFile) => Promise<void>;

/**
 * One segment: a .log of batches one behind the other, with its two sparse indexes. The last segment of a log is open
 * for appends and keeps file and indexes at hand; closed ones open and load them when they are read.
 */
export class Segment implements Unloadable {
  readonly baseOffset: number;
  /** Bytes that hold batches; an open segment's file may go on with zeros. */
  sizeBytes: number;
  /** Offset behind the last batch. */
  endOffset: number;
  private readonly disk: Disk;
  private readonly pool: SegmentPool;
  private readonly directory: string;
  private preallocation: Preallocation | null = null;
  /** Set while the segment is open for appends or not yet sealed; the pool leaves it alone. */
  private writable = false;
  private file: DiskFile | null = null;
  private opening: Promise<DiskFile> | null = null;
  private indexes: SegmentIndexes | null = null;
  private loading: Promise<SegmentIndexes> | null = null;
  private users = 0;
  private closing = false;
  private pinned = false;
  private syncedBytes = 0;
  private newest: number | null = null;

  constructor(
    files: { disk: Disk; pool: SegmentPool },
    directory: string,
    at: { baseOffset: number; sizeBytes: number; endOffset: number },
  ) {
    this.disk = files.disk;
    this.pool = files.pool;
    this.directory = directory;
    this.baseOffset = at.baseOffset;
    this.sizeBytes = at.sizeBytes;
    this.endOffset = at.endOffset;
  }

  path(suffix: string): string {
    return `${this.directory}/${offsetName(this.baseOffset, suffix)}`;
  }

  get isWritable(): boolean {
    return this.writable;
  }

  /** Takes over the file and the (new or recovered) indexes. */
  openForAppend(file: DiskFile, indexes: SegmentIndexes, preallocation: Preallocation): void {
    this.file = file;
    this.indexes = indexes;
    this.preallocation = preallocation;
    this.writable = true;
    this.syncedBytes = this.sizeBytes;
  }

  /** Writes whole batches at the end; `headers` carry final offsets, `limit` is where preallocation ends. Throws
   * DISK_FULL with nothing written, or what the disk threw when even that could not be made so. */
  append(bytes: Uint8Array, headers: readonly BatchHeader[], limit: number): void {
    const position = this.sizeBytes;
    this.write(this.file as DiskFile, bytes, position);
    this.preallocation?.wrote(position, bytes, limit);
    for (const header of headers) this.note(header, this.sizeBytes);
  }

  /** Counts a batch that lies at `position`, the segment's end so far. */
  note(header: BatchHeader, position: number): void {
    this.indexes?.note(header, position);
    this.sizeBytes = position + header.sizeBytes;
    this.endOffset = lastOffset(header) + 1;
  }

  async datasync(sync: SyncFile): Promise<void> {
    const settled = this.preallocation?.settled;
    if (settled) await settled;
    const size = this.sizeBytes;
    this.preallocation?.syncing(size - this.syncedBytes);
    // Without a file it was sealed meanwhile, and synced with that.
    const { file } = this;
    if (file) await this.using(() => sync(file));
    this.syncedBytes = size;
  }

  /** Fills `target` from `position`; returns the bytes read. */
  read(target: Uint8Array, position: number): Promise<number> {
    return this.using(async () => (this.file ?? (await this.openFile())).read(target, position));
  }

  async loadIndexes(): Promise<SegmentIndexes> {
    if (!this.writable) this.pool.used(this);
    if (this.indexes) return this.indexes;
    this.loading ??= this.readIndexes().finally(() => (this.loading = null));
    return this.loading;
  }

  /** Where a batch begins that contains `offset` or lies before it, and that batch's base offset. */
  async batchAtOrBefore(offset: number): Promise<{ position: number; offset: number }> {
    const { offsets } = await this.loadIndexes();
    const position = offsets.positionOf(offset);
    if (position === 0) return { position, offset: this.baseOffset };
    const head = Buffer.alloc(BATCH_HEADER_BYTES);
    await this.read(head, position);
    return { position, offset: readBatchHeader(head).baseOffset };
  }

  /** Greatest timestamp in the segment; -1 when it has none. */
  async newestTimestamp(): Promise<number> {
    if (this.newest === null || this.writable) this.newest = (await this.loadIndexes()).newestTimestamp;
    return this.newest;
  }

  /** No appends come any more: cuts the zeros off, and writes and syncs what is not yet on disk. */
  async seal(sync: SyncFile): Promise<void> {
    await this.preallocation?.idle();
    const { file, indexes } = this;
    if (!file || !indexes) return;
    await file.truncate(this.sizeBytes);
    indexes.finish();
    await sync(file);
    await indexes.save(this.disk, suffix => this.path(suffix), sync);
    this.writable = false;
    this.preallocation = null;
  }

  /** Cuts off whatever lies behind the batches. */
  async truncateZeros(): Promise<void> {
    await this.file?.truncate(this.sizeBytes);
    this.preallocation?.cut(this.sizeBytes);
  }

  /** Writes and syncs new index entries of a segment that stays open. */
  async saveIndexes(sync: SyncFile): Promise<void> {
    await this.indexes?.save(this.disk, suffix => this.path(suffix), sync);
  }

  /** Made again from the batches when the files are lost, damaged, or do not fit the batches. */
  async rebuildIndexes(): Promise<SegmentIndexes> {
    const made = new SegmentIndexes(this.baseOffset);
    const range = { from: 0, to: this.sizeBytes, offset: this.baseOffset, checkCrc: false, gapsBelow: Infinity };
    await scanBatches(this, range, (header, position) => made.note(header, position));
    made.finish();
    this.indexes = made;
    return made;
  }

  /** Keeps file and indexes open until the segment is closed: other files are about to take their names. */
  async pin(): Promise<void> {
    this.pinned = true;
    await this.loadIndexes();
    await this.using(async () => this.file ?? (await this.openFile()));
    this.pool.forget(this);
  }

  /** Lets go of file and indexes until the next use. */
  async unload(): Promise<void> {
    if (this.writable || this.pinned) return;
    this.indexes = null;
    await this.closeFile();
  }

  /** Closes for good, once reads that are under way have ended. */
  async close(): Promise<void> {
    this.closing = true;
    this.pool.forget(this);
    await this.preallocation?.idle().catch(() => {});
    await this.closeFile();
  }

  async remove(): Promise<void> {
    await this.close();
    for (const suffix of [SUFFIX.log, SUFFIX.index, SUFFIX.timeIndex, SUFFIX.transactions])
      await this.disk.remove(this.path(suffix));
  }

  private write(file: DiskFile, bytes: Uint8Array, position: number): void {
    try {
      let done = file.writeSync([bytes], position);
      while (done < bytes.length) {
        const written = file.writeSync([bytes.subarray(done)], position + done);
        if (written === 0) throw Object.assign(new Error('a write wrote nothing'), { code: 'ENOSPC' });
        done += written;
      }
    } catch (error) {
      // Recovery must not find a part of what was refused.
      file.truncateSync(position);
      this.preallocation?.cut(position);
      throw isNoSpace(error) ? diskFull(error) : error;
    }
  }

  /** The file is not closed while `action` uses it: its number would be another file's in no time. */
  private async using<T>(action: () => Promise<T>): Promise<T> {
    this.users++;
    try {
      return await action();
    } finally {
      this.users--;
      if (this.closing) await this.closeFile();
    }
  }

  private openFile(): Promise<DiskFile> {
    // The name may be another segment's by now. Whoever reads looks for the segment anew.
    if (this.closing) throw new Error(`${this.path(SUFFIX.log)} was removed or compacted`);
    this.pool.used(this);
    this.opening ??= this.disk
      .open(this.path(SUFFIX.log), 'read')
      .then(file => (this.file = file))
      .finally(() => (this.opening = null));
    return this.opening;
  }

  private async closeFile(): Promise<void> {
    if (this.users > 0 || !this.file) return;
    const file = this.file;
    this.file = null;
    await file.close();
  }

  private async readIndexes(): Promise<SegmentIndexes> {
    const stored = await SegmentIndexes.load(this.disk, suffix => this.path(suffix), this);
    // A sealed segment's time index ends with its greatest timestamp: an empty one was lost.
    if (!stored || (stored.times.length === 0 && this.sizeBytes > 0)) return this.rebuildIndexes();
    this.indexes = new SegmentIndexes(this.baseOffset, stored.offsets, stored.times);
    return this.indexes;
  }
}
