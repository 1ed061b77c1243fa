import { KeyedStore, type Mark } from './keyed-store.ts';

/* Limits of what a module keeps; all of its entries together: the step's `limits.state`. */
export const MAX_KEY_BYTES = 1024;
export const MAX_VALUE_BYTES = 256 * 1024;

/** Why a write is refused: nothing has changed then. */
export const REFUSAL = { key: -1, value: -2, full: -3 } as const;

/** A step's time before it has seen any record. */
export const NO_TIME = Number.MIN_SAFE_INTEGER;

export interface StateMark {
  values: Mark;
  timers: Mark;
  time: number;
}

/**
 * What one step keeps for one partition: the values that its module has put, the timers that it has set, and its time,
 * the highest timestamp that it has been given. All bytes are latin1 strings.
 */
export class StepState {
  readonly values = new KeyedStore();
  /** Their keys: see `timerKey`. */
  readonly timers = new KeyedStore();
  /** Milliseconds since the epoch. */
  time = NO_TIME;
  /** A timer that is set while others come waits for the time to move on: a flush ends. */
  isFlushing = false;
  private settledTime = NO_TIME;
  private readonly limitBytes: number;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get bytes(): number {
    return this.values.bytes + this.timers.bytes;
  }

  /** 0, or one of REFUSAL. */
  put(key: string, value: string): number {
    if (key.length === 0 || key.length > MAX_KEY_BYTES) return REFUSAL.key;
    if (value.length > MAX_VALUE_BYTES) return REFUSAL.value;
    if (this.values.bytesWith(key, value) + this.timers.bytes > this.limitBytes) return REFUSAL.full;
    this.values.set(key, value);
    return 0;
  }

  /** A timer is a time and a key: set twice it comes once. 0, or one of REFUSAL. */
  setTimer(time: number, key: string): number {
    if (key.length > MAX_KEY_BYTES) return REFUSAL.key;
    const timer = timerKey(this.isFlushing ? Math.max(time, this.time + 1) : time, key);
    if (this.timers.bytesWith(timer, '') + this.values.bytes > this.limitBytes) return REFUSAL.full;
    this.timers.set(timer, '');
    return 0;
  }

  /** When the next timer comes; infinity: there is none. */
  get nextTimer(): number {
    const first = this.timers.firstKey;
    return first === undefined ? Number.POSITIVE_INFINITY : timerTime(first);
  }

  /** The timers whose time has come at `time`, in order. */
  due(time: number): string[] {
    const due: string[] = [];
    for (const timer of this.timers.keysFrom('')) {
      if (timerTime(timer) > time) break;
      due.push(timer);
    }
    return due;
  }

  mark(): StateMark {
    return { values: this.values.mark(), timers: this.timers.mark(), time: this.time };
  }

  /** Everything since then has never been. */
  rollBack(to: StateMark): void {
    this.rollBackWrites(to);
    this.time = to.time;
  }

  /** Takes back what was written, not the time: a record that is refused has come all the same. */
  rollBackWrites(to: Omit<StateMark, 'time'>): void {
    this.values.rollBack(to.values);
    this.timers.rollBack(to.timers);
  }

  loadTime(time: number): void {
    this.time = time;
    this.settledTime = time;
  }

  /** Did the time move since this was asked last? */
  settleTime(): boolean {
    const moved = this.time !== this.settledTime;
    this.settledTime = this.time;
    return moved;
  }
}

/* A timer's key: eight bytes, big endian, of its time + 2^52, so that their order is that of the times; then the key. */
const TIME_BYTES = 8;
const OFFSET = 2 ** 52;

export function timerKey(time: number, key: string): string {
  const bytes = Buffer.allocUnsafe(TIME_BYTES);
  bytes.writeBigUInt64BE(BigInt(time + OFFSET));
  return bytes.toString('latin1') + key;
}

export function timerTime(timer: string): number {
  let time = 0;
  for (let i = 0; i < TIME_BYTES; i++) time = time * 256 + timer.charCodeAt(i);
  return time - OFFSET;
}

export const timerName = (timer: string): string => timer.slice(TIME_BYTES);
