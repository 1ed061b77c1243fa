import { type Clock, systemClock, type Timer } from '../../../core/base/clock.ts';

/** The real clock, except that it can leap: everything that is due by then happens once. */
export class LeapingClock implements Clock {
  private skippedMs = 0;
  private readonly timers = new Set<{ due: number; fire: () => void }>();

  now(): number {
    return Date.now() + this.skippedMs;
  }

  monotonic(): number {
    return performance.now() + this.skippedMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const fire = (): void => {
      real.cancel();
      if (this.timers.delete(timer)) callback();
    };
    const real = systemClock.setTimer(delayMs, fire);
    const timer = { due: this.monotonic() + delayMs, fire };
    this.timers.add(timer);
    return {
      cancel: () => {
        real.cancel();
        this.timers.delete(timer);
      },
    };
  }

  leap(milliseconds: number): void {
    this.skippedMs += milliseconds;
    const due = [...this.timers].filter(timer => timer.due <= this.monotonic());
    for (const { fire } of due) fire();
  }
}
