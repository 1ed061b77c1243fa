import type { LogConfig } from './log.ts';
import type { Segment } from './segment.ts';

/**
 * Where the log may begin after time and size have been looked at: the base offset of the first segment to keep. The
 * last segment always stays, and so does every one that reaches above `limit`.
 */
export async function removableSegments(
  segments: readonly Segment[],
  config: LogConfig,
  nowMs: number,
  limit: number,
): Promise<number> {
  let over = config.retentionBytes < 0 ? 0 : segments.reduce((sum, s) => sum + s.sizeBytes, 0) - config.retentionBytes;
  let start = segments[0]?.baseOffset ?? 0;
  for (const segment of segments.slice(0, -1)) {
    if (segment.endOffset > limit) break;
    const tooBig = config.retentionBytes >= 0 && over >= segment.sizeBytes;
    if (!tooBig && !(await isExpired(segment, config, nowMs))) break;
    over -= segment.sizeBytes;
    start = segment.endOffset;
  }
  return start;
}

async function isExpired(segment: Segment, config: LogConfig, nowMs: number): Promise<boolean> {
  if (config.retentionMs < 0) return false;
  const newest = await segment.newestTimestamp();
  return newest >= 0 && nowMs - newest > config.retentionMs;
}
