import type { DiskFile } from '../../base/disk.ts';
import { BATCH_HEADER_BYTES, batchesIn, batchSizeAt, lastOffset } from '../batch.ts';
import type { LogContext } from '../log-context.ts';
import { diskFull, isNoSpace } from '../log-errors.ts';
import { offsetName, SUFFIX, writeAll } from '../log-files.ts';
import { Segment } from '../segment.ts';
import { SegmentIndexes } from '../segment-indexes.ts';
import { type CompactionSettings, groupSegments, selectCleanable } from './select.ts';
import { CLEANED, swapIn } from './swap.ts';
import type { AbortedRange, CompactionTask } from './task.ts';

const CHUNK_BYTES = 256 * 1024;
const MAX_INT32 = 0x7fffffff;

/** A log as its compaction sees it. */
export interface CompactedLog {
  readonly name: string;
  readonly directory: string;
  readonly segmentBytes: number;
  readonly segments: readonly Segment[];
  /** Every record below is durable, and its transaction has ended. */
  readonly stableOffset: number;
  readonly aborted: readonly AbortedRange[];
  readonly producers: readonly (readonly [number, number])[];
  /** The log is being closed: stop soon. */
  readonly isClosing: boolean;
  /** Runs with no removal or roll beside it. */
  inTurn(work: () => Promise<void>): Promise<void>;
  /** Before records go: the producers' state must not depend on them. In turn. */
  outlive(offset: number): Promise<void>;
  /** Whether these are (still) neighbours in the log. */
  holds(segments: readonly Segment[]): boolean;
  /** From here on readers find `fresh`. */
  replace(old: readonly Segment[], fresh: Segment): void;
}

export interface CompactionResult {
  /** Bytes of the segments that were looked at, before and after. */
  bytesBefore: number;
  bytesAfter: number;
  /** Behind the last offset that is compacted. */
  cleanedTo: number;
}

/**
 * Compacts one log: of each key the newest record stays, tombstones for their time. Works on copies beside the log,
 * which take the originals' place at the end of each group; offsets never change. Null when the log is not due.
 * `onCleaned`: from the log's start up to this offset no segment was left out.
 */
export async function compactLog(
  context: LogContext,
  log: CompactedLog,
  settings: CompactionSettings,
  onCleaned: (offset: number) => void,
): Promise<CompactionResult | null> {
  const { cleanerOffsets, recoveryPoints } = context;
  const now = context.clock.now();
  // Below the recovery point, which must be on disk: only there recovery takes missing offsets for granted.
  const limit = Math.min(log.stableOffset, recoveryPoints.get(log.name) ?? 0);
  const cleaned = cleanerOffsets.get(log.name) ?? 0;
  const cleanable = await selectCleanable(log.segments, limit, cleaned, settings, now);
  if (!cleanable.isDue) return null;
  await recoveryPoints.save();
  if (cleanerOffsets.get(log.name) === undefined) {
    // Says that offsets may be missing from here on: without it recovery would take them for damage.
    cleanerOffsets.set(log.name, 0);
    await cleanerOffsets.save().catch((error: unknown) => {
      cleanerOffsets.delete(log.name);
      throw isNoSpace(error) ? diskFull(error) : error;
    });
  }
  const task = await context.compaction.runner.start({
    budgetBytes: context.compaction.budgetBytes,
    now,
    deleteRetentionMs: settings.deleteRetentionMs,
    aborted: log.aborted,
    producers: log.producers,
  });
  const run = new Run(context, log, task);
  const result: CompactionResult = { bytesBefore: sizeOf(cleanable.segments), bytesAfter: 0, cleanedTo: cleaned };
  try {
    let { segments } = cleanable;
    for (let from = cleanable.firstDirty; from < cleanable.end && !log.isClosing; ) {
      await task.nextPass();
      const to = await run.index(segments, from, cleanable.end);
      if (to <= from) break;
      segments = await run.clean(segments, to);
      if (log.isClosing) break;
      cleanerOffsets.set(log.name, to);
      await cleanerOffsets.save();
      result.cleanedTo = to;
      if (!run.leftOut) onCleaned(to);
      from = to;
    }
    result.bytesAfter = sizeOf(segments);
    return result;
  } finally {
    await task.close();
  }
}

class Run {
  /** A group has stayed as it was, whatever is in it. */
  leftOut = false;
  private readonly context: LogContext;
  private readonly log: CompactedLog;
  private readonly task: CompactionTask;

  constructor(context: LogContext, log: CompactedLog, task: CompactionTask) {
    this.context = context;
    this.log = log;
    this.task = task;
  }

  /** Takes the keys of [from, end) into the map, as far as it has room; returns where it ended. */
  async index(segments: readonly Segment[], from: number, end: number): Promise<number> {
    let to = from;
    for (const segment of segments) {
      if (segment.endOffset <= from) continue;
      const start = segment.baseOffset >= from ? 0 : (await segment.batchAtOrBefore(from)).position;
      let isFull = false;
      for await (const chunk of this.chunks(segment, start, from)) {
        const result = await this.task.index(chunk);
        to = Math.max(to, result.nextOffset);
        isFull = result.isFull;
        if (isFull || this.log.isClosing) break;
      }
      if (isFull || this.log.isClosing) return to;
      // The last batch may lack in a log that came from elsewhere.
      to = Math.min(end, segment.endOffset);
    }
    return to;
  }

  /** Rewrites the segments that begin below `to`, group by group; returns all segments as they are then. */
  async clean(segments: readonly Segment[], to: number): Promise<Segment[]> {
    const groups = groupSegments(
      segments.filter(segment => segment.baseOffset < to),
      this.log.segmentBytes,
    );
    const done: Segment[] = [];
    for (const group of groups) {
      if (this.log.isClosing) done.push(...group);
      else done.push(...(await this.cleanGroup(group)));
    }
    done.push(...segments.filter(segment => segment.baseOffset >= to));
    return done;
  }

  private async cleanGroup(group: readonly Segment[]): Promise<readonly Segment[]> {
    const [first, last] = [group[0] as Segment, group.at(-1) as Segment];
    const draft = await Draft.create(this.context, this.log.directory, first.baseOffset);
    try {
      let changed = group.length > 1;
      for (const segment of group) {
        for await (const chunk of this.chunks(segment, 0, 0)) {
          const left = await this.task.filter(chunk, last.endOffset - 1);
          if (left.changed) changed = true;
          await draft.write(left.bytes);
          if (this.log.isClosing) break;
        }
      }
      if (!changed || this.log.isClosing || draft.sizeBytes > MAX_INT32) {
        if (changed) this.leftOut = true;
        await draft.discard();
        return group;
      }
      await draft.finish();
    } catch (error) {
      await draft.discard();
      throw isNoSpace(error) ? diskFull(error) : error;
    }
    const at = { baseOffset: first.baseOffset, sizeBytes: draft.sizeBytes, endOffset: last.endOffset };
    const fresh = new Segment(this.context, this.log.directory, at);
    let isIn = false;
    try {
      await this.log.inTurn(async () => {
        // Retention may have been here.
        if (this.log.isClosing || !this.log.holds(group)) return;
        await this.log.outlive(last.endOffset);
        await this.swap(group, fresh);
        isIn = true;
      });
    } catch (error) {
      if (!this.context.sync.failed) await draft.discard();
      throw isNoSpace(error) ? diskFull(error) : error;
    }
    if (!isIn) {
      this.leftOut = true;
      await draft.discard();
    }
    return isIn ? [fresh] : group;
  }

  /** In turn. */
  private async swap(group: readonly Segment[], fresh: Segment): Promise<void> {
    // Whoever reads goes on with the open files, whose names are about to be the new one's.
    for (const segment of group) await segment.pin();
    const bases = group.map(segment => segment.baseOffset);
    try {
      await swapIn(this.context, this.log.directory, bases);
    } catch (error) {
      // Half of it may be done. A restart does the rest.
      throw this.context.sync.fail(error);
    }
    this.log.replace(group, fresh);
    for (const segment of group) await segment.close();
  }

  /** Whole batches one behind the other, at least one at a time, from a position on; those below `offset` are left out. */
  private async *chunks(segment: Segment, from: number, offset: number): AsyncGenerator<Uint8Array> {
    let wanted = CHUNK_BYTES;
    for (let position = from; position < segment.sizeBytes; ) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(wanted, segment.sizeBytes - position));
      const read = buffer.subarray(0, await segment.read(buffer, position));
      let whole = 0;
      let skip = 0;
      for (const { at, header } of batchesIn(read)) {
        whole = at + header.sizeBytes;
        if (lastOffset(header) < offset) skip = whole;
      }
      if (whole === 0) {
        const needed = read.length >= BATCH_HEADER_BYTES ? batchSizeAt(read, 0) : Infinity;
        if (needed <= wanted || needed > segment.sizeBytes - position) {
          throw new Error(`${segment.path(SUFFIX.log)} holds no whole batch at ${position}`);
        }
        wanted = needed;
        continue;
      }
      wanted = CHUNK_BYTES;
      position += whole;
      if (skip < whole) yield read.subarray(skip, whole);
    }
  }
}

/** The files of a compacted segment before they count. */
class Draft {
  sizeBytes = 0;
  private readonly context: LogContext;
  private readonly path: (suffix: string) => string;
  private readonly indexes: SegmentIndexes;
  private file: DiskFile | null;

  private constructor(context: LogContext, path: (suffix: string) => string, baseOffset: number, file: DiskFile) {
    this.context = context;
    this.path = path;
    this.indexes = new SegmentIndexes(baseOffset);
    this.file = file;
  }

  static async create(context: LogContext, directory: string, baseOffset: number): Promise<Draft> {
    const path = (suffix: string): string => `${directory}/${offsetName(baseOffset, suffix)}${CLEANED}`;
    for (const suffix of [SUFFIX.log, SUFFIX.index, SUFFIX.timeIndex]) await context.disk.remove(path(suffix));
    return new Draft(context, path, baseOffset, await context.disk.open(path(SUFFIX.log), 'create'));
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    await writeAll(this.file as DiskFile, bytes, this.sizeBytes);
    for (const { at, header } of batchesIn(bytes)) this.indexes.note(header, this.sizeBytes + at);
    this.sizeBytes += bytes.length;
  }

  /** All of it is durable when it resolves, but for the names. */
  async finish(): Promise<void> {
    const { sync, disk } = this.context;
    const syncFile = (file: DiskFile): Promise<void> => sync.datasync(file);
    await syncFile(this.file as DiskFile);
    await this.close();
    this.indexes.finish();
    await this.indexes.save(disk, this.path, syncFile);
  }

  async discard(): Promise<void> {
    await this.close();
    for (const suffix of [SUFFIX.log, SUFFIX.index, SUFFIX.timeIndex])
      await this.context.disk.remove(this.path(suffix));
  }

  private async close(): Promise<void> {
    const { file } = this;
    this.file = null;
    await file?.close();
  }
}

const sizeOf = (segments: readonly Segment[]): number => segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
