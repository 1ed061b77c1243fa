import type { Clock } from '../../core/base/clock.ts';
import type { Random } from '../../core/base/random.ts';
import type { Append, Lease } from '../../core/engine/engine.ts';
import type { LogRecord } from '../../core/engine/records.ts';
import type { BatchLimits } from './batcher.ts';
import type { SinkCaps } from './contract.ts';
import type { Rejected, RetryPlan } from './deliver.ts';
import type { Failure } from './failure.ts';
import type { Opened } from './replays.ts';

/** What a partition of a sink is given, and what it reports. */

export interface LaneOptions {
  lease: Lease;
  exactlyOnce: boolean;
  /** As in `SinkCaps`. */
  commitsEach: boolean;
  /** As in `SinkCaps`. */
  joins?: SinkCaps['joins'];
  maxInFlight: number;
  /** As in `SinkPartition`. */
  lasts: (topic: string) => boolean;
  limits: BatchLimits;
  retry: RetryPlan;
  onGap: 'stop' | 'skip';
  accepts: (record: LogRecord) => boolean;
  /** Makes of a stored record what the sink is given; left out: the same. */
  open?: ((record: LogRecord) => Opened) | undefined;
  clock: Clock;
  random: Random;
  /** This lane's share of the sink's memory, in bytes. */
  share(): number;
  /** Dead letters for refused records; `mostBytes` as in `Appender`. */
  bury: (lease: Lease, rejected: readonly Rejected[], mostBytes: number | null) => Promise<Append[]>;
  on: LaneEvents;
}

export interface LaneEvents {
  read(records: number): void;
  retried(kind: Failure['kind']): void;
  /** null: all is well (again). */
  trouble(trouble: Trouble | null): void;
  wrote(seconds: number): void;
  committed(done: { written: number; filtered: number; rejected: readonly Rejected[] }): void;
  /** `on_gap = "skip"` moved the position; the reason names the lost range. */
  skipped(reason: string): void;
}

export interface Trouble {
  state: 'degraded' | 'stalled';
  reason: string;
}

/** How a lane ended. `stopped`: the whole sink must stop; `stalled`: this partition alone waits for a person;
 * `fenced`: the outside system has another writer. */
export type LaneEnd =
  | { how: 'drained' | 'abandoned' }
  | { how: 'fenced' | 'stalled' | 'stopped'; code: string; reason: string };

/** Thrown to end a lane. */
export class Ended extends Error {
  readonly end: LaneEnd;

  constructor(end: LaneEnd) {
    super(end.how);
    this.end = end;
  }
}
