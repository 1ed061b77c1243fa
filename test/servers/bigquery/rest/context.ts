import type { Faults } from '../faults.ts';
import type { Call, Entry, Journal } from '../journal.ts';
import type { Options } from '../options.ts';
import type { Sql } from '../sql/sql.ts';
import type { Warehouse } from '../store/warehouse.ts';
import type { Answer } from './errors.ts';

/** What every part of the fake works with. */
export interface Fake {
  readonly options: Options;
  readonly warehouse: Warehouse;
  readonly sql: Sql;
  readonly journal: Journal;
  readonly faults: Faults;
}

export interface Request {
  readonly fake: Fake;
  /** From the path: `project`, and `dataset`, `table`, `job` where it has them. */
  readonly at: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Record<string, unknown>;
  readonly bodyBytes: number;
}

/** @throws ApiError for what becomes an error envelope */
export type Handler = (request: Request, entry: Entry) => Answer | Promise<Answer>;

export interface Route {
  /** The name of the method in the API reference. */
  readonly name: string;
  readonly verb: string;
  /** Below `/projects/`, with `:name` for parts. */
  readonly path: string;
  readonly handle: Handler;
  /** What the journal and the faults see of it beyond the name and the table. */
  describe?(request: Request): Partial<Call>;
}

export const ok = (body: object): Answer => ({ status: 200, body });
