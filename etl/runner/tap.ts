import type { Clock } from '../../core/base/clock.ts';
import type { StepSample } from '../sandbox/sandbox.ts';

/** How often one sample is taken when nobody looks: enough for a page that is opened later, too little to cost. */
const IDLE_INTERVAL_MS = 1000;

export interface TapEvent extends StepSample {
  pipeline: string;
  topic: string;
  partition: number;
  /** Milliseconds since the epoch. */
  at: number;
}

/** Samples of records before and after each step, of one pipeline. Bounded: at most one sample a task. */
export class Tap {
  /** The newest sample of each step that came out well. */
  readonly latest = new Map<string, TapEvent>();
  private readonly clock: Clock;
  private readonly listeners = new Set<(event: TapEvent) => void>();
  private lastAskedAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Calls back for every sample until the returned function is called. */
  subscribe(listener: (event: TapEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** How many samples the next task should take. */
  wanted(): number {
    const now = this.clock.monotonic();
    if (this.listeners.size === 0 && now - this.lastAskedAt < IDLE_INTERVAL_MS) return 0;
    this.lastAskedAt = now;
    return 1;
  }

  publish(event: TapEvent): void {
    if (!event.error) this.latest.set(event.step, event);
    for (const listener of this.listeners) listener(event);
  }
}
