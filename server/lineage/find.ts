import type { Lineage, LineageAppend } from '../../core/engine/lineage.ts';
import { isTransactional } from '../../core/engine/records.ts';
import type { PartitionLog } from '../../core/log/log.ts';
import { type Budget, markerOf, recordAt, walk } from './walk.ts';

/** Below this many offsets a walk is as good as a further cut. */
const SMALL = 2000;

export interface FoundEntry {
  entry: Lineage;
  /** When it was committed: milliseconds of the marker. */
  at: number;
  /** Offset of the marker. */
  offset: number;
}

/** Whose entries are looked for: one group, reading one source partition. */
export type EntrySource = Pick<Lineage, 'group' | 'topicId' | 'partition'>;

/**
 * The first entry in [from, end) of a partition whose source range ends behind `sourceOffset`; null when there is none.
 * One source's ranges grow from marker to marker, so this halves the range: about log2(offsets) reads, each up to the next
 * entry of that source.
 */
export async function findEntry(
  log: PartitionLog,
  source: EntrySource,
  sourceOffset: number,
  end: number,
  budget: Budget,
): Promise<FoundEntry | null> {
  let low = log.startOffset;
  let high = end;
  let best: FoundEntry | null = null;
  while (high - low > SMALL) {
    const middle = low + Math.floor((high - low) / 2);
    const first = await firstEntry(log, source, middle, high, budget, () => true);
    if (first && first.entry.next <= sourceOffset) low = first.offset + 1;
    else {
      high = middle;
      best = first ?? best;
    }
  }
  return (await firstEntry(log, source, low, high, budget, entry => entry.next > sourceOffset)) ?? best;
}

/** The first entry of a source at or behind offset `from` that is wanted. */
async function firstEntry(
  log: PartitionLog,
  { group, topicId, partition }: EntrySource,
  from: number,
  end: number,
  budget: Budget,
  wanted: (entry: Lineage) => boolean,
): Promise<FoundEntry | null> {
  for await (const walked of walk(log, from, end, budget)) {
    const marker = markerOf(walked);
    const entry = marker?.entries.find(
      each => each.group === group && each.topicId === topicId && each.partition === partition && wanted(each),
    );
    if (marker && entry) return { entry, at: marker.at, offset: walked.header.baseOffset };
  }
  return null;
}

export type WrittenBy =
  /** Not by a commit of a pipeline, sink or source: a producer wrote it. `aborted`: nobody who reads committed sees it. */
  | { by: 'producer'; transaction: 'none' | 'open' | 'committed' | 'aborted' }
  | (FoundEntry & { by: 'commit'; append: LineageAppend });

/** What wrote the record at an offset; null when there is no record. Reads from it on to the end of its transaction. */
export async function writerOf(log: PartitionLog, offset: number, budget: Budget): Promise<WrittenBy | null> {
  const found = await recordAt(log, offset);
  if (!found) return null;
  const { producerId } = found.header;
  if (!isTransactional(found.header)) return { by: 'producer', transaction: 'none' };
  for await (const walked of walk(log, offset, log.highWatermark, budget)) {
    const marker = walked.header.producerId === producerId ? markerOf(walked) : null;
    if (!marker) continue;
    if (marker.kind === 'abort') return { by: 'producer', transaction: 'aborted' };
    for (const entry of marker.entries) {
      const append = entry.appends.find(({ from, to }) => from <= offset && offset < to);
      if (append) return { by: 'commit', entry, append, at: marker.at, offset: walked.header.baseOffset };
    }
    return { by: 'producer', transaction: 'committed' };
  }
  return { by: 'producer', transaction: 'open' };
}
