import type { LogConfig } from './log.ts';
import type { Segment } from './segment.ts';

/**
 * Where the log may begin as far as time and size go: the base offset of the first segment to keep. The last segment
 * always stays, and so does every one that reaches above `limit`.
 */
export async function firstToKeep(
  segments: readonly Segment[],
  config: LogConfig,
  nowMs: number,
  limit: number,
): Promise<number> {
  const { retentionBytes, retentionMs } = config;
  let over = segments.reduce((sum, segment) => sum + segment.sizeBytes, 0) - retentionBytes;
  let keep = segments[0]?.baseOffset ?? 0;
  for (const segment of segments.slice(0, -1)) {
    if (segment.endOffset > limit) break;
    const isTooMuch = retentionBytes >= 0 && over >= segment.sizeBytes;
    if (!isTooMuch && !(retentionMs >= 0 && (await isExpired(segment, nowMs - retentionMs)))) break;
    over -= segment.sizeBytes;
    keep = segment.endOffset;
  }
  return keep;
}

/** Batches without a timestamp do not expire. */
async function isExpired(segment: Segment, before: number): Promise<boolean> {
  const newest = await segment.newestTimestamp();
  return newest >= 0 && newest < before;
}
