import { BATCH_HEADER_BYTES, type BatchHeader, lastOffset, readBatchHeader } from './batch.ts';
import type { LogObserver } from './log.ts';
import type { LogContext } from './log-context.ts';
import { offsetInName, offsetName, readWhole, SUFFIX } from './log-files.ts';
import { OffsetIndex } from './offset-index.ts';
import { Preallocation } from './preallocation.ts';
import { scanBatches } from './scan.ts';
import { Segment, type SegmentIndexes } from './segment.ts';
import { TimeIndex } from './time-index.ts';

export interface RecoveryOptions {
  /** The last process closed everything: only the end of the last segment is looked at. */
  clean: boolean;
  /** Everything below was synced, in sealed segments or with its index. */
  recoveryPoint: number;
  /** The log start offset that was stored, if any. */
  startOffset: number;
}

export interface RecoveredLog {
  /** In order; the last of them is `active`. */
  segments: Segment[];
  /** Open for appends. */
  active: Segment;
  startOffset: number;
  /** False when something had to be cut off or checked that a clean stop would have left whole. */
  clean: boolean;
}

/**
 * Finds out what a log's folder holds. Below the recovery point files are taken as they are; from there on every batch
 * is checked (length, CRC, offsets without a gap) and the log is cut at the first that is not right, synced before
 * anything in it is served.
 */
export async function recoverLog(
  context: LogContext,
  directory: string,
  options: RecoveryOptions,
): Promise<RecoveredLog> {
  const { disk, sync } = context;
  const bases = await listSegments(context, directory, options.startOffset);
  const segments: Segment[] = [];
  let clean = options.clean;
  for (const [i, base] of bases.entries()) {
    const before = segments.at(-1);
    const next = bases[i + 1];
    if (before && before.endOffset !== base) {
      // The log was cut in the segment before, or a file is missing: what follows has no place.
      await removeSegments(context, directory, bases.slice(i));
      clean = false;
      break;
    }
    if (next !== undefined && (options.clean || next <= options.recoveryPoint)) {
      segments.push(await sealedSegment(context, directory, base, next));
      continue;
    }
    const scanned = await scanSegment(context, directory, base, options);
    if (scanned.cutBytes > 0) clean = false;
    segments.push(scanned.segment);
  }
  let last = segments.at(-1);
  const end = last?.endOffset ?? 0;
  if (!last || end < options.startOffset) {
    await removeSegments(context, directory, bases);
    segments.length = 0;
    const base = Math.max(options.startOffset, 0);
    last = new Segment(disk, directory, base, 0, base);
    segments.push(last);
  }
  if (!last.preallocation) await openLast(context, last);
  for (const segment of segments) {
    if (segment === last || !segment.preallocation) continue;
    // Was still open for appends when the process ended.
    await segment.seal(file => sync.datasync(file));
    await segment.unload();
  }
  if (!clean) await last.datasync(file => sync.datasync(file));
  await sync.syncDirectory(directory);
  return { segments, active: last, startOffset: Math.max(options.startOffset, segments[0]?.baseOffset ?? 0), clean };
}

/** Hands the observer the newest snapshot that it takes, then every batch above it. */
export async function restoreObserver(
  context: LogContext,
  directory: string,
  segments: readonly Segment[],
  observer: LogObserver,
): Promise<void> {
  const { disk, logger } = context;
  const end = segments.at(-1)?.endOffset ?? 0;
  const start = segments[0]?.baseOffset ?? 0;
  const offsets = (await disk.list(directory))
    .map(name => offsetInName(name, SUFFIX.snapshot))
    .filter(offset => offset !== null)
    .toSorted((a, b) => b - a);
  let from: number | null = null;
  for (const offset of offsets) {
    const path = `${directory}/${offsetName(offset, SUFFIX.snapshot)}`;
    if (offset > end) {
      await disk.remove(path);
      continue;
    }
    if (from !== null || offset < start) continue;
    const bytes = await readWhole(disk, path);
    try {
      observer.restore(bytes);
      from = offset;
    } catch (error) {
      logger.warn('A producer snapshot is damaged; an older one is used.', { path, error });
    }
  }
  if (from === null) observer.restore(null);
  for (const segment of segments) {
    if (segment.endOffset > (from ?? 0)) await replay(context, segment, from ?? 0, header => observer.batch(header));
  }
}

async function replay(
  context: LogContext,
  segment: Segment,
  from: number,
  onBatch: (header: BatchHeader) => void,
): Promise<void> {
  const file = await context.disk.open(segment.path(SUFFIX.log), 'read');
  try {
    const at = await segment.batchAtOrBefore(from);
    const range = { from: at.position, to: segment.sizeBytes, offset: at.offset, checkCrc: false };
    await scanBatches(file, range, header => {
      if (lastOffset(header) >= from) onBatch(header);
    });
  } finally {
    await file.close();
  }
}

/** Base offsets in order; leftovers of removed or never finished files are cleared away. */
async function listSegments(context: LogContext, directory: string, startOffset: number): Promise<number[]> {
  const names = await context.disk.list(directory);
  const bases = names
    .map(name => offsetInName(name, SUFFIX.log))
    .filter(base => base !== null)
    .toSorted((a, b) => a - b);
  const kept = bases.filter((_, i) => (bases[i + 1] ?? Infinity) > startOffset);
  for (const name of names) {
    const base =
      offsetInName(name, SUFFIX.log) ?? offsetInName(name, SUFFIX.index) ?? offsetInName(name, SUFFIX.timeIndex);
    if (name.endsWith('.tmp') || (base !== null && !kept.includes(base))) {
      await context.disk.remove(`${directory}/${name}`);
    }
  }
  return kept;
}

async function removeSegments(context: LogContext, directory: string, bases: readonly number[]): Promise<void> {
  for (const base of bases) await new Segment(context.disk, directory, base, 0, base).remove();
}

async function sealedSegment(context: LogContext, directory: string, base: number, next: number): Promise<Segment> {
  const file = await context.disk.open(`${directory}/${offsetName(base, SUFFIX.log)}`, 'read');
  try {
    return new Segment(context.disk, directory, base, await file.size(), next);
  } finally {
    await file.close();
  }
}

async function openLast(context: LogContext, segment: Segment): Promise<void> {
  const file = await context.disk.open(segment.path(SUFFIX.log), 'create');
  const size = await file.size();
  if (size > segment.sizeBytes) await file.truncate(segment.sizeBytes);
  segment.openForAppend(file, null, preallocationOf(context, file, segment.sizeBytes));
}

function preallocationOf(context: LogContext, file: Parameters<Segment['openForAppend']>[0], end: number) {
  return new Preallocation(file, context.clock, end, context.preallocateBytes, context.zeros);
}

/** Checks a segment from its last trusted index entry on, and cuts off what is not right. */
async function scanSegment(
  context: LogContext,
  directory: string,
  base: number,
  options: RecoveryOptions,
): Promise<{ segment: Segment; cutBytes: number }> {
  const { disk, logger } = context;
  const path = `${directory}/${offsetName(base, SUFFIX.log)}`;
  const file = await disk.open(path, 'readwrite');
  const size = await file.size();
  const trusted = options.clean ? Infinity : options.recoveryPoint;
  const indexes = await trustedIndexes(context, directory, base, size, trusted);
  let from = { position: 0, offset: base };
  const entry = indexes.offsets.last();
  if (entry) {
    const head = Buffer.alloc(BATCH_HEADER_BYTES);
    const whole = (await file.read(head, entry.position)) === head.length;
    const header = readBatchHeader(head);
    if (whole && lastOffset(header) === entry.lastOffset && header.baseOffset >= base) {
      from = { position: entry.position, offset: header.baseOffset };
    } else {
      logger.warn('An index does not fit its segment; it is made again.', { path });
      indexes.offsets = new OffsetIndex(base);
      indexes.times = new TimeIndex(base);
    }
  }
  const segment = new Segment(disk, directory, base, from.position, from.offset);
  segment.openForAppend(file, indexes, preallocationOf(context, file, size));
  const range = { from: from.position, to: size, offset: from.offset, checkCrc: true };
  const end = await scanBatches(file, range, (header, position) => segment.note(header, position));
  const cutBytes = size - end.position;
  if (cutBytes > 0) {
    if (end.bad === 'torn') {
      logger.warn('A log ended in a torn batch, which is cut off.', { path, offset: end.offset, bytes: cutBytes });
    }
    await file.truncate(end.position);
    segment.preallocation?.cut(end.position);
  }
  return { segment, cutBytes };
}

/** What the index files say about batches below `trusted`. */
async function trustedIndexes(
  context: LogContext,
  directory: string,
  base: number,
  size: number,
  trusted: number,
): Promise<SegmentIndexes> {
  const [offsetBytes, timeBytes] = await Promise.all([
    readWhole(context.disk, `${directory}/${offsetName(base, SUFFIX.index)}`),
    readWhole(context.disk, `${directory}/${offsetName(base, SUFFIX.timeIndex)}`),
  ]);
  const offsets = offsetBytes && OffsetIndex.fromBytes(offsetBytes, base, size);
  const times = timeBytes && TimeIndex.fromBytes(timeBytes, base, Infinity);
  if (!offsets || !times) return { offsets: new OffsetIndex(base), times: new TimeIndex(base) };
  offsets.truncateOffsets(trusted);
  times.truncate(Math.min(trusted, (offsets.last()?.lastOffset ?? base - 1) + 1));
  return { offsets, times };
}
