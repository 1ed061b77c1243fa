/** Datasets, tables and streams of all projects, and when each becomes visible to those who write. */
import type { Clock } from '../../../../core/base/clock.ts';
import { ApiError } from '../model/api-error.ts';
import type { Options } from '../options.ts';
import { Stream, type StreamType } from './stream.ts';
import { Table, type TableBody, type TableRef } from './table.ts';

export interface Dataset {
  readonly project: string;
  readonly name: string;
  readonly createdAt: number;
  body: Record<string, unknown>;
  version: number;
  readonly tables: Map<string, Table>;
  /** When each dropped table went. */
  readonly dropped: Map<string, number>;
}

export class Warehouse {
  readonly clock: Clock;
  readonly options: Options;
  private readonly datasets = new Map<string, Dataset>();
  private streamCount = 0;

  constructor(options: Options) {
    this.options = options;
    this.clock = options.clock;
  }

  allDatasets(project: string): Dataset[] {
    return [...this.datasets.values()].filter(each => each.project === project);
  }

  *allTables(): Generator<Table> {
    for (const dataset of this.datasets.values()) yield* dataset.tables.values();
  }

  createDataset(project: string, name: string, body: Record<string, unknown>): Dataset {
    const id = `${project}:${name}`;
    if (!/^\w{1,1024}$/.test(name)) throw new ApiError('invalid', `Invalid dataset ID "${name}".`);
    if (this.datasets.has(id)) throw new ApiError('duplicate', `Already Exists: Dataset ${id}`);
    const dataset: Dataset = {
      project,
      name,
      createdAt: this.clock.now(),
      body,
      version: 1,
      tables: new Map(),
      dropped: new Map(),
    };
    this.datasets.set(id, dataset);
    return dataset;
  }

  dataset(project: string, name: string): Dataset {
    const found = this.datasets.get(`${project}:${name}`);
    if (!found) throw new ApiError('notFound', `Not found: Dataset ${project}:${name}`);
    return found;
  }

  dropDataset(project: string, name: string, withTables: boolean): void {
    const dataset = this.dataset(project, name);
    if (dataset.tables.size > 0 && !withTables) {
      throw new ApiError('resourceInUse', `Dataset ${project}:${name} is still in use`);
    }
    for (const table of dataset.tables.values()) table.dropped = true;
    this.datasets.delete(`${project}:${name}`);
  }

  createTable(ref: TableRef, body: TableBody): Table {
    const dataset = this.dataset(ref.project, ref.dataset);
    if (!/^[\p{L}\p{N}\p{M}\p{Pc}\p{Pd} ]{1,1024}$/u.test(ref.table))
      throw new ApiError('invalid', `Invalid table ID "${ref.table}".`);
    if (dataset.tables.has(ref.table)) {
      throw new ApiError('duplicate', `Already Exists: Table ${ref.project}:${ref.dataset}.${ref.table}`);
    }
    const table = new Table(ref, body, this.clock.now(), this.options.rows === 'keep');
    dataset.tables.set(ref.table, table);
    return table;
  }

  /** For those who manage tables: at once. @throws ApiError `notFound` */
  table(ref: TableRef): Table {
    const table = this.dataset(ref.project, ref.dataset).tables.get(ref.table);
    if (!table) throw new ApiError('notFound', `Not found: Table ${ref.project}:${ref.dataset}.${ref.table}`);
    return table;
  }

  dropTable(ref: TableRef): void {
    const table = this.table(ref);
    table.dropped = true;
    const dataset = this.dataset(ref.project, ref.dataset);
    dataset.tables.delete(ref.table);
    dataset.dropped.set(ref.table, this.clock.now());
  }

  /** For those who write rows: a new table or dataset is not there for `visibleAfterMs`. @throws ApiError `notFound` */
  tableForWriting(ref: TableRef): Table {
    const dataset = this.dataset(ref.project, ref.dataset);
    const hidden = (createdAt: number): boolean => this.clock.now() < createdAt + this.options.visibleAfterMs;
    if (hidden(dataset.createdAt)) throw new ApiError('notFound', `Not found: Dataset ${ref.project}:${ref.dataset}`);
    const id = `${ref.project}:${ref.dataset}.${ref.table}`;
    const table = dataset.tables.get(ref.table);
    if (table && !hidden(table.createdAt)) return table;
    // The streaming backend says so for a while after the table went, also when it has been made again.
    const droppedAt = dataset.dropped.get(ref.table);
    const deleted = droppedAt !== undefined && this.clock.now() < droppedAt + 120_000;
    throw new ApiError('notFound', deleted ? `Table is deleted: ${id}` : `Not found: Table ${id}`);
  }

  createStream(table: Table, type: StreamType): Stream {
    const id = `Cg${(++this.streamCount).toString().padStart(8, '0')}${table.createdAt.toString(36)}`;
    const stream = new Stream(`${table.path}/streams/${id}`, type, table, this.clock.now());
    table.streams.set(id, stream);
    return stream;
  }
}
