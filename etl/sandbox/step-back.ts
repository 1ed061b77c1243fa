import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';

/** This thread leaves the processor to others (`nice`: 19 is the most) where the system gives priorities to threads and
 * says which one this is: on Linux. Elsewhere nothing happens. */
export function stepBack(nice: number): void {
  try {
    const [thread] = readlinkSync('/proc/thread-self').split('/').slice(-1);
    setPriority(Number(thread), nice);
  } catch {
    // The thread only has more of the processor than it might.
  }
}
