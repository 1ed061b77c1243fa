import type { Clock } from '../../core/base/clock.ts';
import type { ModuleLine } from '../sandbox/sandbox.ts';

/** So many of each step are kept, the newest. */
const LINES_PER_STEP = 200;

export interface ModuleLogLine extends ModuleLine {
  /** Milliseconds since the epoch. */
  at: number;
  partition: number;
}

/** What the modules of one pipeline wrote to their logs, by step; in memory. */
export class ModuleLogs {
  private readonly clock: Clock;
  private readonly lines = new Map<string, ModuleLogLine[]>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  add(line: ModuleLine, partition: number): void {
    const lines = this.lines.get(line.step) ?? [];
    this.lines.set(line.step, lines);
    lines.push({ ...line, at: this.clock.now(), partition });
    // In blocks: a module that logs much must not pay for each line.
    if (lines.length >= 2 * LINES_PER_STEP) lines.splice(0, lines.length - LINES_PER_STEP);
  }

  /** The newest of this step, or of all steps; the oldest first. */
  latest(step: string | null): ModuleLogLine[] {
    if (step !== null) return (this.lines.get(step) ?? []).slice(-LINES_PER_STEP);
    const all = [...this.lines.keys()].flatMap(each => this.latest(each));
    return all.toSorted((a, b) => a.at - b.at);
  }
}
