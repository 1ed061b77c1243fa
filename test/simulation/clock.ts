import type { Clock } from '../../core/base/clock.ts';

/** A clock that moves when the simulation says so; its wall time also jumps, in both directions. */
export class JumpingClock implements Clock {
  private time: number;
  private wall: number;
  /** The latest wall time that anybody may have seen, in any life. */
  latest: number;
  private timers: { at: number; order: number; callback: () => void }[] = [];
  private made = 0;
  /** Nothing is due before it. */
  private earliest = Infinity;

  constructor(from: { time: number; wall: number; latest?: number } = { time: 0, wall: 1_700_000_000_000 }) {
    this.time = from.time;
    this.wall = from.wall;
    this.latest = Math.max(from.latest ?? 0, from.wall);
  }

  now(): number {
    return this.wall;
  }

  monotonic(): number {
    return this.time;
  }

  setTimer(delayMs: number, callback: () => void): { cancel(): void } {
    const timer = { at: this.time + Math.max(0, delayMs), order: this.made++, callback };
    this.timers.push(timer);
    this.earliest = Math.min(this.earliest, timer.at);
    return { cancel: () => (this.timers = this.timers.filter(other => other !== timer)) };
  }

  /** Time passes; what is due is called back, earliest first. */
  advance(ms: number): void {
    this.time += ms;
    this.jump(ms);
    while (this.earliest <= this.time) {
      const due = this.timers.filter(({ at }) => at <= this.time).toSorted((a, b) => a.at - b.at || a.order - b.order);
      const first = due[0];
      this.timers = this.timers.filter(timer => timer !== first);
      this.earliest = this.timers.reduce((least, { at }) => Math.min(least, at), Infinity);
      first?.callback();
    }
  }

  /** Somebody sets the clock. */
  jump(ms: number): void {
    this.wall += ms;
    this.latest = Math.max(this.latest, this.wall);
  }

  /** The same time for the next life, without the timers of this one. */
  next(): JumpingClock {
    return new JumpingClock({ time: this.time, wall: this.wall, latest: this.latest });
  }
}
