import { type StepState, timerName, timerTime } from '../sandbox/state/step-state.ts';

/*
 * What a module with state imports from `millstream`, beside log, progress and fail (DESIGN 6, capabilities 4 and 8).
 * Keys have 1 to 1,024 bytes (a timer's key may be empty), values up to 256 KiB; a key of bytes is compared as bytes.
 *
 *   state_get(key, key_len, out, room) -> i32      the value's length, -1: there is none. Nothing is written when it is
 *                                                  more than `room`: ask again with that much
 *   state_put(key, key_len, value, value_len)      0, or why it is refused, and nothing has changed: -1 the key's length,
 *     -> i32                                       -2 the value's length, -3 the step's limits.state
 *   state_delete(key, key_len) -> i32              1, or 0: there was none
 *   state_scan(prefix, prefix_len, after,          entries in byte order of their keys: those that begin with the prefix
 *     after_len, out, room) -> i32                 and lie behind `after` (after_len < 0: all), as many as fit, each u32 key
 *                                                  length, key, u32 value length, value, little endian. Returns the
 *                                                  bytes written, 0: there are no more, -n: the next one takes n bytes
 *   timer_set(time i64, key, key_len) -> i32       as state_put; when the step's time reaches `time` (milliseconds since
 *                                                  the epoch), millstream_flush is called
 *   timer_next(out, room) -> i32                   during millstream_flush: takes the next timer that has come: i64 time,
 *                                                  key. Returns the bytes written, 0: there are no more, -n: it takes n
 *   time_now() -> i64                              the step's time: the highest timestamp that it has been given, this
 *                                                  record's included, or a tick's
 */
export const STATE_IMPORTS: Readonly<Record<string, string>> = {
  state_get: 'i32 i32 i32 i32 -> i32',
  state_put: 'i32 i32 i32 i32 -> i32',
  state_delete: 'i32 i32 -> i32',
  state_scan: 'i32 i32 i32 i32 i32 i32 -> i32',
};

export const TIMER_IMPORTS: Readonly<Record<string, string>> = {
  timer_set: 'i64 i32 i32 -> i32',
  timer_next: 'i32 i32 -> i32',
  time_now: ' -> i64',
};

/** Does a module that imports these functions keep state? */
export const isStateful = (imports: readonly string[]): boolean =>
  imports.some(name => name in STATE_IMPORTS || name in TIMER_IMPORTS);
export const hasTimers = (imports: readonly string[]): boolean => imports.some(name => name in TIMER_IMPORTS);

/** The guest's side of these calls. */
export interface StateAccess {
  /** The step's state; null while the module starts: there is nothing to be asked then. */
  state(): StepState | null;
  /** Bytes of the guest's memory, as text of latin1. Throws when they lie outside. */
  read(ptr: number, length: number): string;
  /** Writes text of latin1 as bytes. Throws when they lie outside. */
  write(ptr: number, text: string): void;
  /** Where to write so many bytes. Throws when they lie outside. */
  room(ptr: number, length: number): Buffer;
  /** The timers that a flush was called for, those that the guest has not taken. */
  timers(): readonly string[];
  /** The guest has got the first of them. */
  taken(): void;
  /** A call that is not allowed. */
  refuse(why: string): Error;
}

/** The import functions, for one instance. */
export function stateImports(access: StateAccess) {
  const state = (): StepState => {
    const found = access.state();
    if (!found) throw access.refuse('the module asked for its state while it was being configured');
    return found;
  };
  return {
    state_get: (key: number, keyLength: number, out: number, room: number): number => {
      const value = state().values.get(access.read(key, keyLength));
      if (value === undefined) return -1;
      if (value.length <= room) access.write(out, value);
      return value.length;
    },
    state_put: (key: number, keyLength: number, value: number, length: number): number =>
      state().put(access.read(key, keyLength), access.read(value, length)),
    state_delete: (key: number, keyLength: number): number => {
      const { values } = state();
      const name = access.read(key, keyLength);
      if (values.get(name) === undefined) return 0;
      values.set(name, undefined);
      return 1;
    },
    state_scan: (
      prefix: number,
      prefixLength: number,
      after: number,
      afterLength: number,
      out: number,
      room: number,
    ): number => {
      const behind = afterLength < 0 ? null : access.read(after, afterLength);
      return scan(state(), access.read(prefix, prefixLength), behind, access.room(out, room));
    },
    timer_set: (time: bigint, key: number, keyLength: number): number => {
      const at = Number(time);
      if (!(Math.abs(at) < 2 ** 52)) throw access.refuse(`the module set a timer to the impossible time ${time}`);
      return state().setTimer(at, access.read(key, keyLength));
    },
    timer_next: (out: number, room: number): number => {
      const [timer] = access.timers();
      if (timer === undefined) return 0;
      const name = timerName(timer);
      if (room < 8 + name.length) return -(8 + name.length);
      const to = access.room(out, 8 + name.length);
      to.writeBigInt64LE(BigInt(timerTime(timer)), 0);
      to.write(name, 8, 'latin1');
      access.taken();
      return 8 + name.length;
    },
    time_now: (): bigint => BigInt(state().time),
  };
}

function scan(state: StepState, prefix: string, after: string | null, out: Buffer): number {
  let at = 0;
  for (const key of state.values.keysFrom(after !== null && after > prefix ? after : prefix)) {
    if (!key.startsWith(prefix)) break;
    if (key === after) continue;
    const value = state.values.get(key) as string;
    const size = 8 + key.length + value.length;
    if (at + size > out.length) return at > 0 ? at : -size;
    at = out.writeUInt32LE(key.length, at);
    at += out.write(key, at, 'latin1');
    at = out.writeUInt32LE(value.length, at);
    at += out.write(value, at, 'latin1');
  }
  return at;
}
