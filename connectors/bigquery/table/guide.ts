import { type Clock, sleep } from '../../../core/base/clock.ts';
import type { Random } from '../../../core/base/random.ts';
import { SinkError } from '../../runtime/sink-error.ts';
import { MISSING_WAIT_MS } from '../api/rest-errors.ts';
import type { NewTable, TableInfo, Tables } from '../api/tables.ts';
import { type Column, columnsOfRest, fingerprintOf, type RestField } from '../schema/columns.ts';
import { withAdded } from './infer.ts';

/** What all partitions of a sink know of their table: asked for once, kept, and asked again when a row does not fit. */

export interface KnownTable {
  /** Tells this table from a later one of its name. */
  id: string;
  columns: readonly Column[];
  fingerprint: string;
  fields: readonly RestField[];
  /** Columns of the primary key. */
  primaryKey: readonly string[];
}

/** A schema is not asked for more often than this, however many rows do not fit. */
const LEAST_AGE_MS = 1000;

/** Added columns are looked for this often by others before they add them themselves. */
const LEADER_WAIT_MS = 2000;

export class TableGuide {
  private readonly tables: Tables;
  private readonly clock: Clock;
  private readonly random: Random;
  private known: KnownTable | null = null;
  private etag = '';
  private askedAt = Number.NEGATIVE_INFINITY;
  private asking: Promise<KnownTable | null> | null = null;
  private changing: Promise<unknown> = Promise.resolve();

  constructor(tables: Tables, clock: Clock, random: Random) {
    this.tables = tables;
    this.clock = clock;
    this.random = random;
  }

  /** The table as last seen; asked for when never seen. Kind `transient` when it is not there. */
  async current(): Promise<KnownTable> {
    return this.known ?? found(await this.ask());
  }

  /** As `current`, null when it is not there. */
  async currentOrNone(): Promise<KnownTable | null> {
    return this.known ?? (await this.ask());
  }

  /** The table as it is now (asked for after this call began). */
  async fresh(): Promise<KnownTable> {
    const since = this.clock.monotonic();
    while (this.asking) await this.asking.catch(() => {});
    const wait = this.askedAt + LEAST_AGE_MS - this.clock.monotonic();
    if (this.askedAt < since && wait > 0) await sleep(this.clock, wait);
    if (this.askedAt >= since && this.known) return this.known;
    return found(await this.ask());
  }

  /** As `fresh`, null when there is no table. */
  look(): Promise<KnownTable | null> {
    return this.ask();
  }

  /** Makes the table unless it is there. */
  create(table: NewTable, location: string | undefined): Promise<KnownTable> {
    return this.oneAtATime(async () => {
      const there = await this.ask();
      if (there) return there;
      await this.tables.create(table, location);
      return found(await this.ask());
    });
  }

  /**
   * Adds columns. One partition's owner leads: the holder of partition 0 adds at once, the others look again after a
   * while first; the etag keeps two from overwriting each other.
   */
  add(wanted: readonly RestField[], leads: boolean): Promise<KnownTable> {
    return this.oneAtATime(async () => {
      if (!leads && withAdded((await this.current()).fields, wanted) !== null) {
        await sleep(this.clock, LEADER_WAIT_MS * (0.5 + this.random.float()));
      }
      for (let tries = 0; tries < 5; tries++) {
        const { fields } = found(await this.ask());
        const grown = withAdded(fields, wanted);
        if (!grown) return found(this.known);
        if (await this.tables.replaceFields(grown, this.etag)) return found(await this.ask());
      }
      throw new SinkError('transient', 'SCHEMA_CONTENTION', 'others change the table at the same time');
    });
  }

  private ask(): Promise<KnownTable | null> {
    this.asking ??= this.askNow().finally(() => {
      this.asking = null;
    });
    return this.asking;
  }

  private async askNow(): Promise<KnownTable | null> {
    this.askedAt = this.clock.monotonic();
    const info = await this.tables.get();
    this.known = info && knownOf(info, this.known);
    this.etag = info?.etag ?? '';
    return this.known;
  }

  private oneAtATime<T>(change: () => Promise<T>): Promise<T> {
    const done = this.changing.then(change);
    this.changing = done.catch(() => {});
    return done;
  }
}

/** The same object as before while nothing has changed: encoders are kept by it. */
function knownOf({ creationTime, fields, primaryKey }: TableInfo, before: KnownTable | null): KnownTable {
  const columns = columnsOfRest(fields);
  const fingerprint = fingerprintOf(columns);
  if (before?.id === creationTime && before.fingerprint === fingerprint) return before;
  return { id: creationTime, columns, fingerprint, fields, primaryKey };
}

function found(table: KnownTable | null): KnownTable {
  if (table) return table;
  throw new SinkError('transient', 'TABLE_NOT_FOUND', 'the table is not there', {
    retryAfterMs: MISSING_WAIT_MS,
    help: 'create it, or set auto_create_table = true',
  });
}
