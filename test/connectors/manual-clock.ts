import type { Clock, Timer } from '../../core/base/clock.ts';

/** A clock that stands still until it is moved. */
export class ManualClock implements Clock {
  private time: number;
  private timers: { due: number; callback: () => void }[] = [];

  constructor(time = Date.UTC(2026, 4, 1, 12)) {
    this.time = time;
  }

  now(): number {
    return this.time;
  }

  monotonic(): number {
    return this.time;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { due: this.time + delayMs, callback };
    this.timers.push(timer);
    return {
      cancel: () => {
        this.timers = this.timers.filter(other => other !== timer);
      },
    };
  }

  /** Timers that have not gone off. */
  get pending(): number {
    return this.timers.length;
  }

  /** Moves on, timer by timer; between two timers everything that is ready happens. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.time + milliseconds;
    for (;;) {
      await settle();
      const due = this.timers.filter(timer => timer.due <= end).toSorted((a, b) => a.due - b.due)[0];
      if (!due) break;
      this.timers = this.timers.filter(timer => timer !== due);
      this.time = Math.max(this.time, due.due);
      due.callback();
    }
    this.time = end;
    await settle();
  }
}

/** Lets promises and immediates run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve));
}
