import { type Clock, sleep } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { mayRetry } from './broker-error.ts';

export interface BackOffOptions {
  clock: Clock;
  random: Random;
  /** First and longest pause. Each is twice the one before, less up to half of it by chance. */
  fromMs: number;
  toMs: number;
  /** After this time the next failure is thrown. */
  forMs: number;
}

/** How long to go on; left out: as long as the cluster retries. */
export interface RetryOptions {
  signal?: AbortSignal;
  forMs?: number;
  /** Hears of each failure that is not the last. */
  onRetry?: (error: Error) => void;
}

/** Repeats `attempt` while it fails with something retriable. `between` runs before each repetition. */
export async function retrying<T>(
  options: BackOffOptions,
  attempt: () => Promise<T>,
  between: (error: Error) => void = () => {},
  signal?: AbortSignal,
): Promise<T> {
  const { clock, random } = options;
  const end = clock.monotonic() + options.forMs;
  for (let pauseMs = options.fromMs; ; pauseMs = Math.min(options.toMs, pauseMs * 2)) {
    try {
      return await attempt();
    } catch (error) {
      if (!mayRetry(error) || signal?.aborted || clock.monotonic() + pauseMs > end) throw error;
      between(error);
      await sleep(clock, pauseMs * (1 - random.float() / 2), signal);
    }
  }
}
