import type { Clock } from '../../../core/base/clock.ts';
import type { Storage } from '../api/storage.ts';
import { ColumnError } from '../encode/column-error.ts';
import type { JsonOptions } from '../encode/json-encoder.ts';
import type { Fields } from '../encode/names.ts';
import { ProtoWriter } from '../encode/proto-writer.ts';
import { RowEncoder } from '../encode/row-encoder.ts';
import type { KnownTable, TableGuide } from '../table/guide.ts';
import { CHANGE_COLUMNS, relaxed } from './changes.ts';
import { REQUEST_BYTES } from './appender.ts';
import type { Shaper } from './shaper.ts';

/** What the writers of one sink share. */
export interface WriterSettings {
  storage: Storage;
  guide: TableGuide;
  shaper: Shaper;
  encoders: Encoders;
  clock: Clock;
  /** Is a table that is missing made? */
  mayCreate: boolean;
  /** Shown in BigQuery's own logs. */
  traceId: string;
}

/** One generated encoder a schema, and one buffer for all rows. */
export class Encoders {
  private readonly json: JsonOptions;
  private readonly withChanges: boolean;
  private readonly writer = new ProtoWriter();
  private readonly known = new WeakMap<KnownTable, RowEncoder>();

  constructor(json: JsonOptions, withChanges: boolean) {
    this.json = json;
    this.withChanges = withChanges;
  }

  of(table: KnownTable): RowEncoder {
    let encoder = this.known.get(table);
    if (!encoder) {
      const columns = this.withChanges ? [...relaxed(table.columns), ...CHANGE_COLUMNS] : table.columns;
      encoder = new RowEncoder(columns, this.json);
      this.known.set(table, encoder);
    }
    return encoder;
  }

  /** For `Shaper.shape`. */
  readonly encodeFor = (table: KnownTable): ((fields: Fields) => Uint8Array) => {
    const encoder = this.of(table);
    return fields => {
      const row = encoder.encode(fields, this.writer);
      if (row.length < REQUEST_BYTES) return row;
      throw new ColumnError(
        'ROW_TOO_LARGE',
        '',
        `the row takes ${row.length} bytes; BigQuery takes 10 MB in a request`,
      );
    };
  };
}
