import * as host from 'millstream:transform/timers@1.0.0';
import { bytesOf, unlessRefused } from './state.ts';

/*
 * Timers and the step's time, for windows and whatever else has to come without a record: the time is that of the
 * records, the highest timestamp that the step has been given; a partition without records goes on by the clock.
 */

/** The step's time, milliseconds since the epoch: the highest timestamp so far, this record's included. */
export const now = (): number => Number(host.now());

/** `onTimer` is called when the step's time reaches `time`, before the record that brings it. A time and a key that were
 * set before come once. When the host refuses (a limit) the record fails with the reason. */
export function set(time: number, key: string | Uint8Array = ''): void {
  const name = bytesOf(key);
  unlessRefused(name.length, 0, () => host.set(BigInt(Math.ceil(time)), name));
}
