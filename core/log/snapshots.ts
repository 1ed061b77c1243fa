import { type BatchHeader, lastOffset } from './batch.ts';
import { replaceFile } from './checkpoints.ts';
import type { LogObserver } from './log.ts';
import type { LogContext } from './log-context.ts';
import { offsetInName, offsetName, readWhole, SUFFIX } from './log-files.ts';
import type { Marker } from './marker.ts';
import { scanBatches } from './scan.ts';
import type { Segment } from './segment.ts';
import { TransactionIndex } from './txn-index.ts';

/*
 * <offset>.snapshot holds, verbatim, what the observer gave for its state before that offset. A file that is there is
 * whole (written aside, synced, renamed); one that the observer does not take (it throws) counts as damaged.
 */

/** The newest may lie above a cut that recovery makes. */
const KEPT = 2;

/** Durable when it resolves; all but the newest few are removed. */
export async function saveSnapshot(
  context: LogContext,
  directory: string,
  offset: number,
  bytes: Uint8Array,
): Promise<void> {
  const { disk, sync } = context;
  await replaceFile(disk, sync, directory, offsetName(offset, SUFFIX.snapshot), bytes);
  await sync.syncDirectory(directory);
  const offsets = await listSnapshots(context, directory);
  for (const old of offsets.slice(KEPT)) await disk.remove(`${directory}/${offsetName(old, SUFFIX.snapshot)}`);
}

/** Hands the observer the newest snapshot that it takes, then every batch above it. Returns that snapshot's offset, -1
 * for none, and the aborted transactions: those below the snapshot from their files, the rest from the batches. */
export async function restoreObserver(
  context: LogContext,
  directory: string,
  segments: readonly Segment[],
  observer: LogObserver,
): Promise<{ snapshotOffset: number; aborted: TransactionIndex }> {
  const { disk, logger } = context;
  const start = segments[0]?.baseOffset ?? 0;
  const end = segments.at(-1)?.endOffset ?? 0;
  let from = -1;
  for (const offset of await listSnapshots(context, directory)) {
    const path = `${directory}/${offsetName(offset, SUFFIX.snapshot)}`;
    if (offset > end) {
      // What it tells of was cut off.
      await disk.remove(path);
      continue;
    }
    if (offset < start) break;
    try {
      observer.restore(await readWhole(disk, path));
      from = offset;
      break;
    } catch (error) {
      logger.warn('A snapshot of the producers is damaged; an older one is used.', { path, error });
    }
  }
  if (from < 0) observer.restore(null);
  let aborted = await TransactionIndex.load(disk, directory, Math.max(from, start));
  if (!aborted) {
    logger.warn('An index of aborted transactions is damaged; it is made again from all batches.', { directory });
    aborted = new TransactionIndex();
    observer.restore(null);
    from = -1;
  }
  const made = aborted;
  const show = (header: BatchHeader, marker: Marker | null): void => {
    observer.batch(header, marker);
    const ended = marker && observer.takeAborted?.();
    if (ended) made.add(ended);
  };
  for (const segment of segments) {
    if (segment.endOffset > from) await replay(segment, Math.max(from, start), show);
  }
  return { snapshotOffset: from, aborted };
}

async function replay(
  segment: Segment,
  from: number,
  onBatch: (header: BatchHeader, marker: Marker | null) => void,
): Promise<void> {
  const at = await segment.batchAtOrBefore(from);
  const range = {
    from: at.position,
    to: segment.sizeBytes,
    offset: at.offset,
    checkCrc: false,
    gapsBelow: segment.endOffset,
  };
  await scanBatches(segment, range, (header, _position, marker) => {
    if (lastOffset(header) >= from) onBatch(header, marker);
  });
}

/** Offsets of the stored snapshots, newest first. */
async function listSnapshots(context: LogContext, directory: string): Promise<number[]> {
  return (await context.disk.list(directory))
    .map(name => offsetInName(name, SUFFIX.snapshot))
    .filter(offset => offset !== null)
    .toSorted((a, b) => b - a);
}
