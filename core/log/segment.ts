import type { Disk, DiskFile } from '../base/disk.ts';
import { BATCH_HEADER_BYTES, type BatchHeader, lastOffset, readBatchHeader } from './batch.ts';
import { diskFull, isNoSpace } from './log-errors.ts';
import { offsetName, readWhole, SUFFIX, writeAll } from './log-files.ts';
import { INDEX_INTERVAL_BYTES, OFFSET_ENTRY_BYTES, OffsetIndex } from './offset-index.ts';
import type { Preallocation } from './preallocation.ts';
import { scanBatches } from './scan.ts';
import { TIME_ENTRY_BYTES, TimeIndex } from './time-index.ts';

export interface SegmentIndexes {
  offsets: OffsetIndex;
  times: TimeIndex;
}

/**
 * One segment: a .log of batches one behind the other, with its two sparse indexes. The last segment of a log is open
 * for appends and keeps file and indexes at hand; closed ones open and load them when they are read.
 */
export class Segment {
  readonly baseOffset: number;
  /** Bytes that hold batches; an open segment's file may go on with zeros. */
  sizeBytes: number;
  /** Offset behind the last batch. */
  endOffset: number;
  /** Set while the segment is open for appends. */
  preallocation: Preallocation | null = null;
  private readonly disk: Disk;
  private readonly directory: string;
  private file: DiskFile | null = null;
  private opening: Promise<DiskFile> | null = null;
  private indexes: SegmentIndexes | null = null;
  private loading: Promise<SegmentIndexes> | null = null;
  private users = 0;
  private shut = false;
  private sinceEntry = 0;
  private maxTimestamp = -1;
  private maxTimestampOffset = -1;
  private savedOffsets = 0;
  private savedTimes = 0;

  constructor(disk: Disk, directory: string, baseOffset: number, sizeBytes: number, endOffset: number) {
    this.disk = disk;
    this.directory = directory;
    this.baseOffset = baseOffset;
    this.sizeBytes = sizeBytes;
    this.endOffset = endOffset;
  }

  path(suffix: string): string {
    return `${this.directory}/${offsetName(this.baseOffset, suffix)}`;
  }

  /** The open segment: takes over the file and (new or recovered) indexes. */
  openForAppend(file: DiskFile, indexes: SegmentIndexes | null, preallocation: Preallocation): void {
    this.file = file;
    this.indexes = indexes ?? { offsets: new OffsetIndex(this.baseOffset), times: new TimeIndex(this.baseOffset) };
    this.preallocation = preallocation;
    const newest = this.indexes.times.last();
    if (newest && newest.timestamp > this.maxTimestamp) {
      this.maxTimestamp = newest.timestamp;
      this.maxTimestampOffset = newest.offset;
    }
  }

  /** Writes whole batches at the end; `headers` carry final offsets. Throws DISK_FULL with nothing written, or what
   * the disk threw when even that could not be made so. */
  append(bytes: Uint8Array, headers: readonly BatchHeader[], limit: number): void {
    const file = this.file as DiskFile;
    const position = this.sizeBytes;
    this.write(file, bytes, position);
    this.preallocation?.wrote(position, bytes, limit);
    for (const header of headers) this.note(header, this.sizeBytes);
  }

  /** Counts a batch that lies at `position` (the segment's end so far). */
  note(header: BatchHeader, position: number): void {
    const last = lastOffset(header);
    if (header.maxTimestamp > this.maxTimestamp) {
      this.maxTimestamp = header.maxTimestamp;
      this.maxTimestampOffset = last;
    }
    if (this.sinceEntry > INDEX_INTERVAL_BYTES && this.indexes) {
      this.indexes.offsets.add(last, position);
      this.indexes.times.add(this.maxTimestamp, this.maxTimestampOffset);
      this.sinceEntry = 0;
    }
    this.sinceEntry += header.sizeBytes;
    this.sizeBytes = position + header.sizeBytes;
    this.endOffset = last + 1;
  }

  async datasync(sync: (file: DiskFile) => Promise<void>): Promise<void> {
    const settled = this.preallocation?.settled;
    if (settled) await settled;
    if (this.file) await sync(this.file);
  }

  /** Fills `target` from `position`; returns the bytes read. */
  async read(target: Uint8Array, position: number): Promise<number> {
    this.users++;
    try {
      return await (this.file ?? (await this.openFile())).read(target, position);
    } finally {
      await this.release();
    }
  }

  async loadIndexes(): Promise<SegmentIndexes> {
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
    const { times } = await this.loadIndexes();
    return Math.max(this.maxTimestamp, times.last()?.timestamp ?? -1);
  }

  /** Cuts the zeros off and writes what was not yet written of the indexes; no appends come any more. */
  async seal(sync: (file: DiskFile) => Promise<void>): Promise<void> {
    await this.preallocation?.idle();
    const file = this.file;
    if (!file) return;
    await file.truncate(this.sizeBytes);
    this.preallocation = null;
    if (this.maxTimestampOffset >= 0) this.indexes?.times.add(this.maxTimestamp, this.maxTimestampOffset);
    await sync(file);
    await this.saveIndexes(sync);
  }

  /** Appends new index entries to the index files and syncs them. */
  async saveIndexes(sync: (file: DiskFile) => Promise<void>): Promise<void> {
    if (!this.indexes) return;
    const { offsets, times } = this.indexes;
    const offsetCount = offsets.length;
    const timeCount = times.length;
    await this.saveEntries(
      SUFFIX.index,
      offsets.toBytes(this.savedOffsets),
      this.savedOffsets * OFFSET_ENTRY_BYTES,
      sync,
    );
    this.savedOffsets = offsetCount;
    await this.saveEntries(SUFFIX.timeIndex, times.toBytes(this.savedTimes), this.savedTimes * TIME_ENTRY_BYTES, sync);
    this.savedTimes = timeCount;
  }

  /** Lets go of the file and of the indexes (a closed segment opens them again when it is read). */
  async unload(): Promise<void> {
    this.indexes = null;
    await this.closeFile();
  }

  /** Closes for good; reads that are under way end first. */
  async close(): Promise<void> {
    this.shut = true;
    await this.closeFile();
  }

  async remove(): Promise<void> {
    await this.close();
    for (const suffix of [SUFFIX.log, SUFFIX.index, SUFFIX.timeIndex]) await this.disk.remove(this.path(suffix));
  }

  private write(file: DiskFile, bytes: Uint8Array, position: number): void {
    let done = 0;
    try {
      done = file.writeSync([bytes], position);
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

  private async openFile(): Promise<DiskFile> {
    this.opening ??= this.disk.open(this.path(SUFFIX.log), 'read').finally(() => (this.opening = null));
    this.file ??= await this.opening;
    return this.file;
  }

  private async release(): Promise<void> {
    this.users--;
    if (this.shut) await this.closeFile();
  }

  private async closeFile(): Promise<void> {
    if (this.users > 0 || !this.file) return;
    const file = this.file;
    this.file = null;
    await file.close();
  }

  private async readIndexes(): Promise<SegmentIndexes> {
    const [offsetBytes, timeBytes] = await Promise.all([
      readWhole(this.disk, this.path(SUFFIX.index)),
      readWhole(this.disk, this.path(SUFFIX.timeIndex)),
    ]);
    const offsets = offsetBytes && OffsetIndex.fromBytes(offsetBytes, this.baseOffset, this.sizeBytes);
    const times = timeBytes && TimeIndex.fromBytes(timeBytes, this.baseOffset, this.endOffset);
    this.indexes = offsets && times ? { offsets, times } : await this.rebuildIndexes();
    return this.indexes;
  }

  /** Lost or bad indexes are made again from the batches. */
  private async rebuildIndexes(): Promise<SegmentIndexes> {
    const made = new Segment(this.disk, this.directory, this.baseOffset, 0, this.baseOffset);
    made.indexes = { offsets: new OffsetIndex(this.baseOffset), times: new TimeIndex(this.baseOffset) };
    this.users++;
    try {
      const file = this.file ?? (await this.openFile());
      await scanBatches(
        file,
        { from: 0, to: this.sizeBytes, offset: this.baseOffset, checkCrc: false },
        (header, position) => made.note(header, position),
      );
    } finally {
      await this.release();
    }
    if (made.maxTimestampOffset >= 0) made.indexes.times.add(made.maxTimestamp, made.maxTimestampOffset);
    return made.indexes;
  }

  private async saveEntries(
    suffix: string,
    bytes: Uint8Array,
    position: number,
    sync: (file: DiskFile) => Promise<void>,
  ): Promise<void> {
    const file = await this.disk.open(this.path(suffix), 'create');
    try {
      const end = position + bytes.length;
      await writeAll(file, bytes, position);
      if ((await file.size()) > end) await file.truncate(end);
      await sync(file);
    } finally {
      await file.close();
    }
  }
}
