import type { Random } from '../../core/base/random.ts';

/** The longest that a system's own "retry after" is believed. */
const LONGEST_RETRY_AFTER_MS = 3600e3;

/**
 * Milliseconds to wait before try `attempt + 1`: uniform between 0 and the doubled base ("full jitter"), so that many
 * that failed together do not come back together. What the system itself asks for is waited on top.
 */
export function backOffMs(
  attempt: number,
  retry: { fromMs: number; toMs: number },
  random: Random,
  retryAfterMs = 0,
): number {
  const ceiling = Math.min(retry.toMs, retry.fromMs * 2 ** Math.min(attempt - 1, 30));
  return Math.min(Math.max(0, retryAfterMs), LONGEST_RETRY_AFTER_MS) + random.float() * ceiling;
}
