/** What a caller may set; all of it has a default. */
import { type Clock, systemClock } from '../../../core/base/clock.ts';

export interface Options {
  /** Drives the insertId window, the idle end, delays and the times that are given back. */
  clock: Clock;
  /** TCP ports on loopback; 0 = any free one. */
  restPort: number;
  grpcPort: number;
  /** Made at the start, with these datasets in it. */
  project: string;
  datasets: readonly string[];
  /** `count` keeps sums instead of rows, for benchmarks. */
  rows: 'keep' | 'count';
  /** How long a new dataset or table answers 404 to those who write rows. */
  visibleAfterMs: number;
  /** How long after a patch writers still see the old schema; then open connections get `updated_schema`. */
  schemaDelayMs: number;
  /** A connection without requests for this long is ended. */
  idleMs: number;
  /** How long an insertId is remembered. */
  insertIdWindowMs: number;
  /** Share of the repeated insertIds that are written all the same ("best effort"); decided by `seed`. */
  insertIdMissRate: number;
  seed: number;
  /** Bytes of an AppendRows request and of an insertAll body. */
  appendLimitBytes: number;
  insertAllLimitBytes: number;
  insertAllLimitRows: number;
  /** What insertAll says to a body that is too large: both are seen in the field. */
  tooLarge: '413' | '400';
  /** A second FinalizeWriteStream: says the count again, or refuses. Nobody has told which the service does. */
  finalizeTwice: 'count' | 'refuse';
  /** Bearer tokens that are good; null = nobody is asked for one. */
  acceptToken: ((token: string) => boolean) | null;
  /** Journal entries kept; older ones go. */
  journalLimit: number;
}

export const defaults: Options = {
  clock: systemClock,
  restPort: 0,
  grpcPort: 0,
  project: 'p',
  datasets: [],
  rows: 'keep',
  visibleAfterMs: 0,
  schemaDelayMs: 0,
  idleMs: 600_000,
  insertIdWindowMs: 60_000,
  insertIdMissRate: 0,
  seed: 1,
  appendLimitBytes: 10_485_760,
  insertAllLimitBytes: 10_485_760,
  insertAllLimitRows: 50_000,
  tooLarge: '413',
  finalizeTwice: 'count',
  acceptToken: null,
  journalLimit: 100_000,
};
