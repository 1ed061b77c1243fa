/**
 * SQL over what the tables hold, by DuckDB. Rows are copied there only when somebody asks, and only those that came since
 * the last question; after a schema change, and for tables with change data capture, all of them again.
 */
import type * as Duck from '@duckdb/node-api';
import { ApiError } from '../model/api-error.ts';
import type { Column, RestField, Value } from '../model/schema.ts';
import { latestRows } from '../store/changes.ts';
import type { Table } from '../store/table.ts';
import type { Warehouse } from '../store/warehouse.ts';
import { schemaName, translate } from './dialect.ts';
import { duckType, plain, quote, resultField, toDuck } from './types.ts';

export interface Result {
  readonly fields: RestField[];
  readonly rows: Duck.DuckDBValue[][];
}

type Parameters =
  | Record<string, string | number | bigint | boolean | null>
  | (string | number | bigint | boolean | null)[];

interface Copied {
  readonly table: Table;
  schemaVersion: number;
  chunks: number;
}

/** DuckDB's own limit. */
const CHUNK_ROWS = 2048;

export class Sql {
  private readonly warehouse: Warehouse;
  private readonly copied = new Map<string, Copied>();
  private opening: Promise<{
    duck: typeof Duck;
    instance: Duck.DuckDBInstance;
    connection: Duck.DuckDBConnection;
  }> | null = null;
  private last: Promise<unknown> = Promise.resolve();

  constructor(warehouse: Warehouse) {
    this.warehouse = warehouse;
  }

  /** One query after the other. @throws ApiError `invalidQuery`, with DuckDB's message */
  query(text: string, project: string, parameters?: Parameters): Promise<Result> {
    const run = this.last.then(() => this.run(text, project, parameters));
    this.last = run.catch(() => undefined);
    return run;
  }

  /** Rows as objects, with the values of `plain`. */
  async objects(text: string, project: string, parameters?: Parameters): Promise<Record<string, unknown>[]> {
    const { fields, rows } = await this.query(text, project, parameters);
    return rows.map(row => Object.fromEntries(fields.map((field, i) => [field.name ?? '', plain(row[i] ?? null)])));
  }

  async close(): Promise<void> {
    await this.last;
    if (!this.opening) return;
    const { instance, connection } = await this.opening;
    connection.closeSync();
    instance.closeSync();
  }

  private async run(text: string, project: string, parameters: Parameters | undefined): Promise<Result> {
    if (!/^[\s(]*(SELECT|WITH)\b/i.test(text.replace(/--.*$/gm, ''))) {
      throw new ApiError('invalidQuery', 'This fake answers SELECT statements only');
    }
    const { connection } = await this.open();
    await this.copyAll();
    try {
      const reader = await connection.runAndReadAll(translate(text, project), parameters);
      const types = reader.columnTypes();
      const fields = reader.columnNames().map((name, i) => resultField(name, types[i] as Duck.DuckDBType));
      return { fields, rows: reader.getRows() };
    } catch (error) {
      throw new ApiError('invalidQuery', error instanceof Error ? error.message : String(error), { location: 'query' });
    }
  }

  private open(): NonNullable<Sql['opening']> {
    this.opening ??= (async () => {
      const duck = await import('@duckdb/node-api');
      const instance = await duck.DuckDBInstance.create(':memory:');
      const connection = await instance.connect();
      await connection.run("SET TimeZone = 'UTC'");
      return { duck, instance, connection };
    })();
    return this.opening;
  }

  private async copyAll(): Promise<void> {
    const { connection } = await this.open();
    const there = new Set<string>();
    for (const table of this.warehouse.allTables()) {
      there.add(table.id);
      await this.copy(table);
    }
    for (const [id, { table }] of this.copied) {
      if (there.has(id)) continue;
      await connection.run(`DROP TABLE ${sqlName(table)}`);
      this.copied.delete(id);
    }
  }

  private async copy(table: Table): Promise<void> {
    const { connection } = await this.open();
    let state = this.copied.get(table.id);
    const changes = table.rows.chunks.some(chunk => chunk.columns.some(column => column.name === '_CHANGE_TYPE'));
    const fresh = state?.table === table && state.schemaVersion === table.schemaVersion;
    if (table.columns.length === 0) return;
    if (!state || !fresh || (changes && state.chunks < table.rows.chunks.length)) {
      await connection.run(`CREATE SCHEMA IF NOT EXISTS ${quote(schemaName(table.ref.project, table.ref.dataset))}`);
      const columns = table.columns.map(column => `${quote(column.name)} ${duckType(column).toString()}`);
      await connection.run(`CREATE OR REPLACE TABLE ${sqlName(table)} (${columns.join(', ')})`);
      state = { table, schemaVersion: table.schemaVersion, chunks: 0 };
      this.copied.set(table.id, state);
    }
    if (state.chunks === table.rows.chunks.length) return;
    const writer = await this.writer(table);
    if (changes) for (const { columns, row } of latestRows(table).values()) writer.add(columns, row);
    else {
      for (const chunk of table.rows.chunks.slice(state.chunks)) {
        for (let i = 0; i < chunk.count; i++) writer.add(chunk.columns, chunk.read(i));
      }
    }
    state.chunks = table.rows.chunks.length;
    writer.close();
  }

  private async writer(
    table: Table,
  ): Promise<{ add(columns: readonly Column[], row: readonly Value[]): void; close(): void }> {
    const { duck, connection } = await this.open();
    const appender = await connection.createAppender(table.ref.table, schemaName(table.ref.project, table.ref.dataset));
    const types = table.columns.map(duckType);
    let pending: Duck.DuckDBValue[][] = [];
    let mapped: { columns: readonly Column[]; places: number[] } | null = null;
    const flush = (): void => {
      if (pending.length === 0) return;
      const chunk = duck.DuckDBDataChunk.create(types, pending.length);
      chunk.setRows(pending);
      appender.appendDataChunk(chunk);
      pending = [];
    };
    return {
      add(columns, row) {
        if (mapped?.columns !== columns) {
          mapped = { columns, places: table.columns.map(column => columns.findIndex(each => each.key === column.key)) };
        }
        const { places } = mapped;
        pending.push(
          table.columns.map((column, i) => {
            const at = places[i] ?? -1;
            const from = columns[at];
            if (from) return toDuck(row[at] ?? null, from, column);
            return column.mode === 'REPEATED' ? duck.listValue([]) : null;
          }),
        );
        if (pending.length === CHUNK_ROWS) flush();
      },
      close() {
        flush();
        appender.flushSync();
        appender.closeSync();
      },
    };
  }
}

const sqlName = (table: Table): string =>
  `${quote(schemaName(table.ref.project, table.ref.dataset))}.${quote(table.ref.table)}`;
