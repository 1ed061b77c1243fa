import type { Disk, DiskFile } from '../base/disk.ts';
import { type BatchHeader, lastOffset } from './batch.ts';
import { readWhole, SUFFIX, writeAll } from './log-files.ts';
import { INDEX_INTERVAL_BYTES, OFFSET_ENTRY_BYTES, OffsetIndex } from './offset-index.ts';
import { TIME_ENTRY_BYTES, TimeIndex } from './time-index.ts';

type PathOf = (suffix: string) => string;
type SyncFile = (file: DiskFile) => Promise<void>;

/** The two sparse indexes of a segment, which get their entries together, and how far their files have them. */
export class SegmentIndexes {
  readonly offsets: OffsetIndex;
  readonly times: TimeIndex;
  private sinceEntry = 0;
  private maxTimestamp: number;
  private maxTimestampOffset: number;
  private savedOffsets = 0;
  private savedTimes = 0;

  constructor(baseOffset: number, offsets = new OffsetIndex(baseOffset), times = new TimeIndex(baseOffset)) {
    this.offsets = offsets;
    this.times = times;
    this.maxTimestamp = times.last()?.timestamp ?? -1;
    this.maxTimestampOffset = times.last()?.offset ?? -1;
  }

  /** Greatest timestamp seen; -1 when there is none. */
  get newestTimestamp(): number {
    return this.maxTimestamp;
  }

  /** Counts the batch that lies at `position`. */
  note(header: BatchHeader, position: number): void {
    const last = lastOffset(header);
    if (header.maxTimestamp > this.maxTimestamp) {
      this.maxTimestamp = header.maxTimestamp;
      this.maxTimestampOffset = last;
    }
    if (this.sinceEntry > INDEX_INTERVAL_BYTES) {
      this.offsets.add(last, position);
      this.times.add(this.maxTimestamp, this.maxTimestampOffset);
      this.sinceEntry = 0;
    }
    this.sinceEntry += header.sizeBytes;
  }

  /** The time index of a finished segment ends with its greatest timestamp, so that this is known without a scan. */
  finish(): void {
    if (this.maxTimestampOffset >= 0) this.times.add(this.maxTimestamp, this.maxTimestampOffset);
  }

  /** Writes the entries that the files do not have yet and syncs them. */
  async save(disk: Disk, pathOf: PathOf, sync: SyncFile): Promise<void> {
    const { offsets, times } = this;
    const counts = { offsets: offsets.length, times: times.length };
    await Promise.all([
      saveEntries(
        disk,
        pathOf(SUFFIX.index),
        offsets.toBytes(this.savedOffsets),
        this.savedOffsets * OFFSET_ENTRY_BYTES,
        sync,
      ),
      saveEntries(
        disk,
        pathOf(SUFFIX.timeIndex),
        times.toBytes(this.savedTimes),
        this.savedTimes * TIME_ENTRY_BYTES,
        sync,
      ),
    ]);
    this.savedOffsets = counts.offsets;
    this.savedTimes = counts.times;
  }

  /** Reads the index files of a segment with that many bytes and that end; null when one is lost or damaged. */
  static async load(
    disk: Disk,
    pathOf: PathOf,
    segment: { baseOffset: number; sizeBytes: number; endOffset: number },
  ): Promise<{ offsets: OffsetIndex; times: TimeIndex } | null> {
    const [offsetBytes, timeBytes] = await Promise.all([
      readWhole(disk, pathOf(SUFFIX.index)),
      readWhole(disk, pathOf(SUFFIX.timeIndex)),
    ]);
    const offsets = offsetBytes && OffsetIndex.fromBytes(offsetBytes, segment.baseOffset, segment.sizeBytes);
    const times = timeBytes && TimeIndex.fromBytes(timeBytes, segment.baseOffset, segment.endOffset);
    return offsets && times ? { offsets, times } : null;
  }
}

async function saveEntries(
  disk: Disk,
  path: string,
  bytes: Uint8Array,
  position: number,
  sync: SyncFile,
): Promise<void> {
  const file = await disk.open(path, 'create');
  try {
    const end = position + bytes.length;
    await writeAll(file, bytes, position);
    if ((await file.size()) > end) await file.truncate(end);
    await sync(file);
  } finally {
    await file.close();
  }
}
