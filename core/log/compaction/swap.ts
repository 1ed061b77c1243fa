import type { LogContext } from '../log-context.ts';
import { offsetInName, offsetName, SUFFIX } from '../log-files.ts';
import { scanBatches } from '../scan.ts';

/*
 * How compacted segments take the place of their originals, so that a crash leaves either (Kafka's names):
 *   1. <base>.log.cleaned and its indexes are written and synced                    a crash: discarded
 *   2. <base>.log.cleaned is renamed to <base>.log.swap, the folder synced          from here on it counts
 *   3. the originals' indexes, and the originals but the first, are removed, synced a crash: recovery goes on from here
 *   4. the indexes and at last the log are renamed into place; not synced: a crash goes back to 3
 * The swap file itself says how far it reaches: compaction always keeps the header of a segment's last batch.
 */
export const CLEANED = '.cleaned';
export const SWAP_LOG = `${SUFFIX.log}.swap`;
/** What a segment may have beside its log. The index of aborted transactions goes for good: their records are gone. */
const INDEXES = [SUFFIX.index, SUFFIX.timeIndex, '.txnindex'];

/** Steps 2 to 4. `bases`: of the originals, in order. Once step 2 is through, a failure must stop all writing. */
export async function swapIn(context: LogContext, directory: string, bases: readonly number[]): Promise<void> {
  const { disk, sync } = context;
  const base = bases[0] as number;
  const path = (offset: number, suffix: string): string => `${directory}/${offsetName(offset, suffix)}`;
  await disk.rename(path(base, SUFFIX.log + CLEANED), path(base, SWAP_LOG));
  await sync.syncDirectory(directory);
  await removeOriginals(context, directory, base, bases);
  for (const suffix of [SUFFIX.index, SUFFIX.timeIndex]) {
    await disk.rename(path(base, suffix + CLEANED), path(base, suffix));
  }
  await disk.rename(path(base, SWAP_LOG), path(base, SUFFIX.log));
}

async function removeOriginals(
  { disk, sync }: LogContext,
  directory: string,
  base: number,
  bases: readonly number[],
): Promise<void> {
  for (const offset of bases) {
    for (const suffix of INDEXES) await disk.remove(`${directory}/${offsetName(offset, suffix)}`);
    if (offset !== base) await disk.remove(`${directory}/${offsetName(offset, SUFFIX.log)}`);
  }
  await sync.syncDirectory(directory);
}

/** What a crash left of a compaction: before step 2 it is discarded, from there on completed. */
export async function recoverSwaps(context: LogContext, directory: string): Promise<void> {
  const { disk, sync, logger } = context;
  const names = await disk.list(directory);
  for (const name of names) if (name.endsWith(CLEANED)) await disk.remove(`${directory}/${name}`);
  const bases = names.map(name => offsetInName(name, SWAP_LOG)).filter(base => base !== null);
  // A process that was killed may have left them in memory only, and what comes now takes the originals away.
  if (bases.length > 0) await sync.syncDirectory(directory);
  // From the last to the first: one that was swapped in and, before that was durable, became part of a later one, which
  // begins below, must go with that one's originals.
  for (const base of bases.toSorted((a, b) => b - a)) {
    const name = offsetName(base, SWAP_LOG);
    const end = await endOf(context, `${directory}/${name}`, base);
    const originals = names
      .map(other => offsetInName(other, SUFFIX.log))
      .filter(offset => offset !== null && offset > base && offset < end) as number[];
    logger.info('A compaction that was interrupted is completed.', { directory, from: base, to: end });
    await removeOriginals(context, directory, base, [base, ...originals]);
    // Not synced here: the epoch that begins after recovery is, in the same folder; a crash before begins here again.
    await disk.rename(`${directory}/${name}`, `${directory}/${offsetName(base, SUFFIX.log)}`);
  }
}

async function endOf({ disk }: LogContext, path: string, base: number): Promise<number> {
  const file = await disk.open(path, 'read');
  try {
    const range = { from: 0, to: await file.size(), offset: base, checkCrc: false, gapsBelow: Infinity };
    return (await scanBatches(file, range, () => {})).offset;
  } finally {
    await file.close();
  }
}
