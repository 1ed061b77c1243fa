import type { Segment } from '../segment.ts';

/** A topic's settings for compaction, under Kafka's names without the dots. */
export interface CompactionSettings {
  /** Bytes not yet compacted, of all that may be: below this ratio nothing is done. */
  minCleanableDirtyRatio: number;
  /** Records younger than this stay as they are. */
  minCompactionLagMs: number;
  /** A record that is older and not compacted makes the log due whatever the ratio. */
  maxCompactionLagMs: number;
  /** How long tombstones and markers stay after the first compaction that sees them. */
  deleteRetentionMs: number;
}

export interface Cleanable {
  /** All closed segments that may be rewritten, from the log's start. */
  segments: Segment[];
  /** Behind what earlier compactions have done. */
  firstDirty: number;
  end: number;
  isDue: boolean;
}

/** What of a log compaction may touch: closed, synced and decided segments, up to the first that is too young. */
export async function selectCleanable(
  segments: readonly Segment[],
  limit: number,
  cleaned: number,
  settings: CompactionSettings,
  now: number,
): Promise<Cleanable> {
  const chosen: Segment[] = [];
  let dirtyBytes = 0;
  let totalBytes = 0;
  let isOverdue = false;
  for (const segment of segments.slice(0, -1)) {
    if (segment.isWritable || segment.endOffset > limit) break;
    const newest = await segment.newestTimestamp();
    if (settings.minCompactionLagMs > 0 && newest > now - settings.minCompactionLagMs) break;
    chosen.push(segment);
    totalBytes += segment.sizeBytes;
    if (segment.endOffset <= cleaned) continue;
    dirtyBytes += segment.sizeBytes;
    if (newest < now - settings.maxCompactionLagMs) isOverdue = true;
  }
  const end = chosen.at(-1)?.endOffset ?? 0;
  const firstDirty = Math.max(cleaned, chosen[0]?.baseOffset ?? 0);
  const isDue =
    end > firstDirty && (isOverdue || (totalBytes > 0 && dirtyBytes / totalBytes >= settings.minCleanableDirtyRatio));
  return { segments: chosen, firstDirty, end, isDue };
}

/** Neighbours that may become one segment: together no bigger than `segmentBytes`, offsets within an int32. */
export function groupSegments(segments: readonly Segment[], segmentBytes: number): Segment[][] {
  const groups: Segment[][] = [];
  let size = 0;
  for (const segment of segments) {
    const group = groups.at(-1);
    const first = group?.[0];
    const fits =
      first && size + segment.sizeBytes <= segmentBytes && segment.endOffset - first.baseOffset <= 0x7fffffff;
    if (group && fits) {
      group.push(segment);
      size += segment.sizeBytes;
    } else {
      groups.push([segment]);
      size = segment.sizeBytes;
    }
  }
  return groups;
}
