import type { DiskFile } from '../base/disk.ts';
import { BATCH_HEADER_BYTES, lastOffset, readBatchHeader } from './batch.ts';
import { recoverSwaps } from './compaction/swap.ts';
import type { LogContext } from './log-context.ts';
import { offsetInName, offsetName, SUFFIX } from './log-files.ts';
import { Preallocation } from './preallocation.ts';
import { scanBatches } from './scan.ts';
import { Segment } from './segment.ts';
import { SegmentIndexes } from './segment-indexes.ts';

export interface RecoveryOptions {
  /** The last process closed everything: only the end of the last segment is looked at. */
  clean: boolean;
  /** Everything below was synced, and so were the index entries for it. */
  recoveryPoint: number;
  /** The log start offset that was stored, if any. */
  startOffset: number;
  /** Compaction has been at work below, if it was stored. */
  cleanedTo?: number | undefined;
}

export interface RecoveredLog {
  /** In order; the last of them is `active`. */
  segments: Segment[];
  /** Open for appends. */
  active: Segment;
  startOffset: number;
  /** False when the log was not closed properly, or did not look so. */
  clean: boolean;
  /** Bytes that had to be looked at. */
  scannedBytes: number;
  /** Timestamp of the active segment's first batch; null when it is empty. */
  firstTimestamp: number | null;
}

/**
 * Finds out what a log's folder holds. Below the recovery point files are taken as they are; from there on every batch
 * is checked (length, CRC, offsets without a gap) and the log is cut at the first that is not right. What remains is
 * synced before anybody is served: after a crash of the process alone it may be in the page cache only.
 */
export async function recoverLog(
  context: LogContext,
  directory: string,
  options: RecoveryOptions,
): Promise<RecoveredLog> {
  const { sync, logger } = context;
  const syncFile = (file: DiskFile): Promise<void> => sync.datasync(file);
  await recoverSwaps(context, directory);
  const bases = await listSegments(context, directory, options.startOffset);
  let segments: Segment[] = [];
  let clean = options.clean;
  let scannedBytes = 0;
  for (const [i, base] of bases.entries()) {
    const before = segments.at(-1);
    const next = bases[i + 1];
    if (before && before.endOffset !== base) {
      logger.warn('A log was cut: the segments behind the cut are removed.', { directory, offset: before.endOffset });
      await removeSegments(context, directory, bases.slice(i));
      clean = false;
      break;
    }
    // The segment that ends at the recovery point may still have its zeros.
    if (next !== undefined && (options.clean || next < options.recoveryPoint)) {
      segments.push(await sealedSegment(context, directory, base, next));
      continue;
    }
    const scanned = await scanSegment(context, directory, base, next, options);
    if (scanned.isCut) clean = false;
    scannedBytes += scanned.bytes;
    segments.push(scanned.segment);
  }
  let active = segments.at(-1);
  if (!active || active.endOffset < options.startOffset) {
    // Nothing is left above the start: begin anew there.
    for (const segment of segments) await segment.close();
    await removeSegments(context, directory, bases);
    active = newSegment(context, directory, options.startOffset);
    segments = [active];
    clean = false;
  }
  for (const segment of segments) {
    if (segment === active || !segment.isWritable) continue;
    await segment.seal(syncFile);
    await segment.unload();
  }
  // Names become durable with the epoch that begins after all but a clean stop.
  if (!clean) await active.datasync(syncFile);
  const startOffset = Math.max(options.startOffset, segments[0]?.baseOffset ?? 0);
  const firstTimestamp = active.sizeBytes > 0 ? await readFirstTimestamp(active) : null;
  return { segments, active, startOffset, clean, scannedBytes, firstTimestamp };
}

/** An empty segment, open for appends. Throws what the disk throws. */
export function newSegment(context: LogContext, directory: string, baseOffset: number): Segment {
  const segment = new Segment(context, directory, { baseOffset, sizeBytes: 0, endOffset: baseOffset });
  const file = context.disk.openSync(segment.path(SUFFIX.log), 'create');
  // One that a failed attempt left behind.
  file.truncateSync(0);
  segment.openForAppend(file, new SegmentIndexes(baseOffset), preallocationOf(context, file, 0));
  return segment;
}

/** Base offsets in order; leftovers of removed or never finished files are cleared away. */
async function listSegments(context: LogContext, directory: string, startOffset: number): Promise<number[]> {
  const names = await context.disk.list(directory);
  const bases = names
    .map(name => offsetInName(name, SUFFIX.log))
    .filter(base => base !== null)
    .toSorted((a, b) => a - b);
  const kept = new Set(bases.filter((_, i) => (bases[i + 1] ?? Infinity) > startOffset));
  for (const name of names) {
    const base =
      offsetInName(name, SUFFIX.log) ??
      offsetInName(name, SUFFIX.index) ??
      offsetInName(name, SUFFIX.timeIndex) ??
      offsetInName(name, SUFFIX.transactions);
    if (name.endsWith('.tmp') || (base !== null && !kept.has(base))) {
      await context.disk.remove(`${directory}/${name}`);
    }
  }
  return [...kept];
}

async function removeSegments(context: LogContext, directory: string, bases: readonly number[]): Promise<void> {
  for (const baseOffset of bases) {
    await new Segment(context, directory, { baseOffset, sizeBytes: 0, endOffset: baseOffset }).remove();
  }
}

async function sealedSegment(context: LogContext, directory: string, base: number, next: number): Promise<Segment> {
  const file = await context.disk.open(`${directory}/${offsetName(base, SUFFIX.log)}`, 'read');
  try {
    return new Segment(context, directory, { baseOffset: base, sizeBytes: await file.size(), endOffset: next });
  } finally {
    await file.close();
  }
}

async function readFirstTimestamp(segment: Segment): Promise<number> {
  const head = Buffer.alloc(BATCH_HEADER_BYTES);
  await segment.read(head, 0);
  return readBatchHeader(head).maxTimestamp;
}

function preallocationOf(context: LogContext, file: DiskFile, end: number): Preallocation {
  return new Preallocation(file, context.clock, end, context.preallocateBytes, context.zeros);
}

/** Checks a segment from its last trusted index entry on, and cuts off what is not right. */
async function scanSegment(
  context: LogContext,
  directory: string,
  baseOffset: number,
  next: number | undefined,
  options: RecoveryOptions,
): Promise<{ segment: Segment; isCut: boolean; bytes: number }> {
  const { disk, logger } = context;
  const path = `${directory}/${offsetName(baseOffset, SUFFIX.log)}`;
  const file = await disk.open(path, 'readwrite');
  const size = await file.size();
  const trusted = options.clean ? Infinity : options.recoveryPoint;
  const found = await trustedIndexes(context, directory, baseOffset, size, trusted);
  const entry = found.offsets.last();
  let from = { position: 0, offset: baseOffset };
  let indexes = found;
  if (entry) {
    const head = Buffer.alloc(BATCH_HEADER_BYTES);
    await file.read(head, entry.position);
    const header = readBatchHeader(head);
    if (lastOffset(header) === entry.lastOffset && header.baseOffset >= baseOffset) {
      from = { position: entry.position, offset: header.baseOffset };
    } else {
      logger.warn('An index does not fit its segment and is made again.', { path });
      indexes = new SegmentIndexes(baseOffset);
    }
  }
  const segment = new Segment(context, directory, { baseOffset, sizeBytes: from.position, endOffset: from.offset });
  segment.openForAppend(file, indexes, preallocationOf(context, file, size));
  const range = {
    from: from.position,
    to: size,
    offset: from.offset,
    checkCrc: true,
    gapsBelow: gapsBelow(next, options),
  };
  const end = await scanBatches(file, range, (header, position) => segment.note(header, position));
  const isCut = end.position < size;
  if (isCut) {
    if (end.bad === 'torn') report(context, segment, size, options.recoveryPoint);
    await segment.truncateZeros();
  }
  return { segment, isCut, bytes: end.position - from.position };
}

/** Compaction works below the recovery point only, and ends each segment right before the next. */
function gapsBelow(next: number | undefined, { recoveryPoint, cleanedTo }: RecoveryOptions): number {
  if (cleanedTo === undefined) return 0;
  // With the recovery points lost any closed segment may be a compacted one.
  if (recoveryPoint === 0) return next ?? cleanedTo;
  return Math.min(next ?? Infinity, Math.max(recoveryPoint, cleanedTo));
}

function report({ logger }: LogContext, segment: Segment, size: number, recoveryPoint: number): void {
  const { endOffset, sizeBytes } = segment;
  const fields = { path: segment.path(SUFFIX.log), offset: endOffset, bytes: size - sizeBytes };
  if (endOffset < recoveryPoint) logger.error('A log is damaged below what was synced; the rest is cut off.', fields);
  else logger.warn('A log ended in a torn batch, which is cut off.', fields);
}

/** What the index files say about batches below `trusted`; empty when they are lost or damaged. */
async function trustedIndexes(
  context: LogContext,
  directory: string,
  baseOffset: number,
  sizeBytes: number,
  trusted: number,
): Promise<SegmentIndexes> {
  const pathOf = (suffix: string): string => `${directory}/${offsetName(baseOffset, suffix)}`;
  const stored = await SegmentIndexes.load(context.disk, pathOf, { baseOffset, sizeBytes, endOffset: Infinity });
  if (!stored) return new SegmentIndexes(baseOffset);
  const { offsets, times } = stored;
  offsets.truncate(trusted);
  // Times above the last indexed batch come again with the scan.
  times.truncate((offsets.last()?.lastOffset ?? baseOffset - 1) + 1);
  return new SegmentIndexes(baseOffset, offsets, times);
}
