/** Every request that the fake answered, with what came of it: for assertions about what a client really sent. */
import type { Clock } from '../../../core/base/clock.ts';

export interface Call {
  /** `insertAll`, `tables.get`, … on REST; `AppendRows`, `CreateWriteStream`, … on gRPC; `connect` for a new AppendRows connection. */
  readonly method: string;
  /** `p:d.t`, `p:d`, or empty. */
  readonly table: string;
  readonly stream?: string;
  readonly offset?: number;
  readonly rows?: number;
  readonly bytes?: number;
  /** insertAll: the ids, null where a row had none. */
  readonly insertIds?: readonly (string | null)[];
  /** Which AppendRows connection, counted from 1. */
  readonly connection?: number;
  readonly traceId?: string;
}

export interface Entry extends Call {
  /** Counted from 1, in the order of arrival. */
  readonly number: number;
  readonly at: number;
  /** `ok`, or the reason or the status that was answered; `hidden:ok` when the answer was held back. */
  outcome: string;
  /** Whether rows were applied. */
  applied: boolean;
  fault?: string;
}

export class Journal {
  private entries: Entry[] = [];
  private count = 0;
  private readonly clock: Clock;
  private readonly limit: number;

  constructor(clock: Clock, limit: number) {
    this.clock = clock;
    this.limit = limit;
  }

  open(call: Call): Entry {
    const entry: Entry = { ...call, number: ++this.count, at: this.clock.now(), outcome: 'pending', applied: false };
    if (this.limit === 0) return entry;
    this.entries.push(entry);
    if (this.entries.length >= this.limit * 2) this.entries = this.entries.slice(-this.limit);
    return entry;
  }

  /** The newest `journalLimit` entries, or those of one method. */
  list(method?: string): Entry[] {
    const recent = this.entries.slice(-this.limit);
    return method === undefined ? recent : recent.filter(entry => entry.method === method);
  }

  clear(): void {
    this.entries = [];
  }
}
