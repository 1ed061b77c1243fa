import { Bytes } from './bytes';
import { record } from './module';

/*
 * Timers and the step's time, for windows and whatever else has to come without a record: the time is that of the
 * records, the highest timestamp that the step has been given; a partition without records goes on by the clock.
 */

// @ts-ignore: decorator
@external('millstream', 'timer_set')
declare function hostSet(time: i64, key: usize, keyLength: i32): i32;
// @ts-ignore: decorator
@external('millstream', 'time_now')
declare function hostNow(): i64;

/** The step's time, milliseconds since the epoch: the highest timestamp so far, this record's included. */
export function now(): i64 {
  return hostNow();
}

/** `onTimer` is called when the step's time reaches `time`, before the record that brings it. A time and a key that were
 * set before come once. When the host refuses (a limit), the record fails with the reason, and false is returned. */
export function set(time: i64, key: string): bool {
  return setBytes(time, Bytes.of(key));
}

export function setBytes(time: i64, key: Bytes): bool {
  const refusal = hostSet(time, key.ptr, key.length);
  if (refusal == 0) return true;
  if (refusal == -1) record.fail('STATE_KEY_TOO_LONG', "a timer's key has at most 1024 bytes, this one " + key.length.toString());
  else record.fail('STATE_FULL', 'the step keeps as much for this partition as its limits.state allows');
  return false;
}
