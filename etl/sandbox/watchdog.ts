import type { Clock, Timer } from '../../core/base/clock.ts';
import { CELL, PHASE } from './cell.ts';
import type { Thread } from './thread.ts';

/** What the thread is doing, as its cell says. */
export interface Activity {
  task: number;
  phase: number;
  step: number;
  call: number;
  record: number;
  count: number;
  first: number;
  origin: number;
}

export interface Watched {
  readonly clock: Clock;
  thread(): Thread;
  /** Milliseconds that this activity may stand still. */
  limitMs(activity: Activity): number;
  stoodStill(activity: Activity, limitMs: number): void;
}

const TICK_MS = { least: 5, most: 250 };

export function readActivity(cell: Int32Array): Activity {
  const at = (i: number): number => Atomics.load(cell, i);
  return {
    task: at(CELL.task),
    phase: at(CELL.phase),
    step: at(CELL.step),
    call: at(CELL.call),
    record: at(CELL.record),
    count: at(CELL.count),
    first: at(CELL.first),
    origin: at(CELL.origin),
  };
}

/**
 * Looks at a thread's cell now and then while the thread has work. A guest is only said to stand still when it has been
 * on the same record for the limit and its thread has really used that much CPU time, so that a loaded machine blames
 * nobody. A guest cannot wait for anything, so one that stands still always burns.
 */
export class Watchdog {
  private readonly watched: Watched;
  private timer: Timer | null = null;
  /** Grows with every start and stop: an answer that comes late finds that it is not wanted any more. */
  private round = 0;
  private running = false;
  private last: Activity | null = null;
  private since = 0;
  /** CPU time when the activity was first seen to stand still. */
  private cpuMs: number | null = null;

  constructor(watched: Watched) {
    this.watched = watched;
  }

  start(): void {
    if (this.running) return;
    this.running = true;
    this.last = null;
    this.schedule(++this.round, TICK_MS.least);
  }

  stop(): void {
    this.running = false;
    this.round++;
    this.timer?.cancel();
    this.timer = null;
  }

  private schedule(round: number, delayMs: number): void {
    this.timer = this.watched.clock.setTimer(delayMs, () => void this.tick(round));
  }

  private async tick(round: number): Promise<void> {
    const thread = this.watched.thread();
    let delayMs: number = TICK_MS.least;
    try {
      delayMs = await this.look(thread, round);
    } catch {
      // The thread ended meanwhile; whoever ended it goes on from there.
      if (round === this.round) this.last = null;
    }
    if (round === this.round) this.schedule(round, delayMs);
  }

  /** Returns when to look again. */
  private async look(thread: Thread, round: number): Promise<number> {
    const { watched } = this;
    const now = watched.clock.monotonic();
    const activity = readActivity(thread.cell);
    if (activity.phase === PHASE.host) {
      this.last = null;
      return TICK_MS.most / 5;
    }
    const limitMs = watched.limitMs(activity);
    const tickMs = Math.min(Math.max(limitMs / 5, TICK_MS.least), TICK_MS.most);
    if (this.moved(activity)) {
      this.last = activity;
      this.since = now;
      this.cpuMs = null;
      return tickMs;
    }
    const standsMs = now - this.since;
    if (this.cpuMs !== null && standsMs < limitMs) return Math.min(tickMs, limitMs - standsMs + 1);
    // A thread that has gone idle meanwhile answers with its next task, which may be long after.
    const cpuMs = await thread.cpuMs();
    if (round !== this.round || thread !== watched.thread() || this.moved(readActivity(thread.cell))) return tickMs;
    if (this.cpuMs === null) {
      this.cpuMs = cpuMs;
      return tickMs;
    }
    const burntMs = cpuMs - this.cpuMs;
    if (burntMs < limitMs) return Math.min(tickMs, Math.max(limitMs - burntMs, 1));
    this.last = null;
    watched.stoodStill(activity, limitMs);
    return tickMs;
  }

  /** Is this something else than before? Within a call only a record further on counts: a guest that reports the same
   * ones again and again stands still. */
  private moved(now: Activity): boolean {
    const { last } = this;
    if (!last || now.task !== last.task || now.phase !== last.phase || now.call !== last.call) return true;
    return now.record > last.record && now.record < now.count;
  }
}
