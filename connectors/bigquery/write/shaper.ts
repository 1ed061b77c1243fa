import { SinkError } from '../../runtime/sink-error.ts';
import type { Reject, Row } from '../../runtime/contract.ts';
import type { BigQueryConfig } from '../config.ts';
import { ColumnError } from '../encode/column-error.ts';
import type { JsonOptions } from '../encode/json-encoder.ts';
import type { Fields } from '../encode/names.ts';
import type { Clock } from '../../../core/base/clock.ts';
import type { Decoder } from '../mapping/decoder.ts';
import type { Mapper } from '../mapping/mapper.ts';
import type { KnownTable, TableGuide } from '../table/guide.ts';
import { inferFields, withAdded } from '../table/infer.ts';
import { newTable } from '../table/layout.ts';
import type { Changes } from './changes.ts';

/** Records to rows of the table as it is now. Before a row is refused, the table is looked at again: a column that was
 * just added must not cost a row. */

export interface Shaped<T> {
  table: KnownTable;
  /** What the encoder made, and for each which row it was. */
  made: T[];
  places: number[];
  rejected: Reject[];
}

export interface ShaperOptions {
  config: BigQueryConfig;
  json: JsonOptions;
  guide: TableGuide;
  decode: Decoder;
  map: Mapper;
  changes: Changes | null;
  clock: Clock;
}

/** An error is not looked into again for this long once the table had no answer to it. */
const HOPELESS_MS = 10_000;
const MOST_HOPELESS = 1000;

interface Bad {
  row: number;
  error: ColumnError;
  fields: Fields | null;
}

export class Shaper {
  private readonly options: ShaperOptions;
  private readonly hopeless = new Map<string, number>();

  constructor(options: ShaperOptions) {
    this.options = options;
  }

  /** `encoderOf` makes what a row of that table becomes; it throws ColumnError. `leads`: see TableGuide. */
  async shape<T>(
    rows: readonly Row[],
    leads: boolean,
    encoderOf: (table: KnownTable) => (fields: Fields) => T,
  ): Promise<Shaped<T>> {
    let table = await this.table(rows);
    for (;;) {
      const encode = encoderOf(table);
      const shaped: Shaped<T> = { table, made: [], places: [], rejected: [] };
      const bad: Bad[] = [];
      for (const [row, each] of rows.entries()) {
        let fields: Fields | null = null;
        try {
          fields = this.fields(each, table);
          shaped.made.push(encode(fields));
          shaped.places.push(row);
        } catch (error) {
          if (!(error instanceof ColumnError)) throw error;
          bad.push({ row, error, fields });
        }
      }
      const grown = await this.again(bad, table, leads);
      if (grown === table) {
        shaped.rejected = bad.map(({ row, error }) => ({ row, code: error.code, reason: error.message }));
        if (bad[0] && this.options.config.schema.on_incompatible === 'stop') {
          throw new SinkError('fatal', bad[0].error.code, bad[0].error.message);
        }
        return shaped;
      }
      table = grown;
    }
  }

  private fields(row: Row, table: KnownTable): Fields {
    const { decode, map, changes } = this.options;
    if (changes?.isTombstone(row)) return changes.tombstone(row, this.primaryKey(table));
    const decoded = decode(row);
    const fields = map(decoded, row);
    return changes ? changes.of(decoded, fields, row, table.columns) : fields;
  }

  private primaryKey(table: KnownTable): readonly string[] {
    return table.primaryKey.length > 0 ? table.primaryKey : this.options.config.create.primary_key;
  }

  /** The table, made when the configuration says so. */
  async table(rows: readonly Row[]): Promise<KnownTable> {
    const { config, guide } = this.options;
    if (!config.auto_create_table) return guide.current();
    const known = await guide.currentOrNone();
    if (known) return known;
    const samples = config.create.columns ? [] : rows.flatMap(row => this.sample(row));
    const wanted = newTable(config.create, samples);
    if (wanted.fields.length === 0)
      throw new SinkError('transient', 'NO_COLUMNS', 'no row tells the columns of the table');
    return guide.create(wanted, config.create.location);
  }

  private sample(row: Row): Fields[] {
    try {
      return [this.options.map(this.options.decode(row), row)];
    } catch {
      return [];
    }
  }

  /** The table after another look, for rows that did not fit; the same object when there is nothing new. */
  private async again(bad: readonly Bad[], table: KnownTable, leads: boolean): Promise<KnownTable> {
    const { guide, clock, config } = this.options;
    const now = clock.monotonic();
    // Bytes that are no JSON fit no table.
    const open = bad.filter(
      each => each.fields !== null && !((this.hopeless.get(keyOf(each.error)) ?? 0) > now - HOPELESS_MS),
    );
    if (open.length === 0) return table;
    const unknown = open.filter(({ error }) => error.code === 'NO_SUCH_FIELD');
    let wanted = table.fields;
    if (config.schema.evolve) {
      for (const { fields } of unknown) wanted = withAdded(wanted, inferFields(fields as Fields)) ?? wanted;
    }
    const after = wanted === table.fields ? await guide.fresh() : await guide.add(wanted, leads);
    if (after !== table) return after;
    if (this.hopeless.size > MOST_HOPELESS) this.hopeless.clear();
    for (const { error } of open) this.hopeless.set(keyOf(error), clock.monotonic());
    return table;
  }
}

/** One key for all places of an array. */
const keyOf = ({ code, path }: ColumnError): string => `${code} ${path.replace(/\[\d+\]/g, '[]')}`;
