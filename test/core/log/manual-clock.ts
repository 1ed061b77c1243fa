import type { Clock } from '../../../core/base/clock.ts';

/** A clock that a test moves. */
export class ManualClock implements Clock {
  private time: number;
  private timers: { at: number; callback: () => void }[] = [];

  constructor(start = 1_700_000_000_000) {
    this.time = start;
  }

  now(): number {
    return this.time;
  }

  monotonic(): number {
    return this.time;
  }

  setTimer(delayMs: number, callback: () => void): { cancel(): void } {
    const timer = { at: this.time + delayMs, callback };
    this.timers.push(timer);
    return { cancel: () => (this.timers = this.timers.filter(other => other !== timer)) };
  }

  advance(ms: number): void {
    this.time += ms;
    const due = this.timers.filter(timer => timer.at <= this.time);
    this.timers = this.timers.filter(timer => timer.at > this.time);
    for (const timer of due) timer.callback();
  }
}
