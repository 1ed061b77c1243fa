/** One incarnation of a table: dropping and making it again gives another object, without the old one's streams. */
import { createHash } from 'node:crypto';
import { ApiError } from '../model/api-error.ts';
import { checkDefault } from '../model/defaults.ts';
import { checkSchemaChange } from '../model/schema-change.ts';
import { type Column, parseFields, type RestField, toRest } from '../model/schema.ts';
import { type Chunk, RowLog } from './rows.ts';
import type { Stream } from './stream.ts';

export interface TableRef {
  readonly project: string;
  readonly dataset: string;
  readonly table: string;
}

/** The parts of the REST resource Table that the fake looks at; the others are kept and given back. */
export interface TableBody {
  tableReference?: { projectId?: string; datasetId?: string; tableId?: string };
  schema?: { fields?: RestField[] };
  tableConstraints?: { primaryKey?: { columns?: string[] } };
  [key: string]: unknown;
}

const OUTPUT_ONLY = [
  'kind',
  'etag',
  'id',
  'selfLink',
  'numRows',
  'numBytes',
  'creationTime',
  'lastModifiedTime',
  'type',
  'location',
];

export class Table {
  readonly ref: TableRef;
  readonly createdAt: number;
  readonly rows: RowLog;
  readonly streams = new Map<string, Stream>();
  columns: readonly Column[] = [];
  primaryKey: readonly string[] = [];
  /** Raised by every change of the schema. */
  schemaVersion = 0;
  dropped = false;
  private body: TableBody = {};
  private modifiedAt: number;
  private version = 0;
  /** The schemas that there were, so that writers see a change as late as the options want. */
  private readonly history: { at: number; version: number; columns: readonly Column[] }[] = [];

  constructor(ref: TableRef, body: TableBody, now: number, keepRows: boolean) {
    this.ref = ref;
    this.createdAt = now;
    this.modifiedAt = now;
    this.rows = new RowLog(keepRows);
    this.replace(body, now);
  }

  /** `p:d.t`, as in messages. */
  get id(): string {
    return `${this.ref.project}:${this.ref.dataset}.${this.ref.table}`;
  }

  get path(): string {
    return `projects/${this.ref.project}/datasets/${this.ref.dataset}/tables/${this.ref.table}`;
  }

  get etag(): string {
    return createHash('sha1').update(`${this.id} ${this.createdAt} ${this.version}`).digest('base64');
  }

  add(chunk: Chunk): void {
    this.rows.add(chunk);
  }

  /** The columns as a writer sees them `delayMs` after each change. */
  columnsFor(now: number, delayMs: number): { version: number; columns: readonly Column[] } {
    for (let i = this.history.length - 1; i > 0; i--) {
      const entry = this.history[i];
      if (entry && entry.at + delayMs <= now) return entry;
    }
    return this.history[0] ?? { version: 0, columns: this.columns };
  }

  /** tables.patch: what is given replaces, null removes, the rest stays. @throws ApiError */
  patch(change: TableBody, now: number): void {
    const merged: TableBody = { ...this.body };
    for (const [key, value] of Object.entries(change)) {
      if (value === null) delete merged[key];
      else merged[key] = value;
    }
    this.replace(merged, now);
  }

  /** tables.update, and the first body. @throws ApiError */
  replace(body: TableBody, now: number): void {
    const columns = parseFields(body.schema?.fields ?? []);
    columns.forEach(checkDefault);
    if (this.columns.length > 0) checkSchemaChange(this.id, this.columns, columns);
    const primaryKey = body.tableConstraints?.primaryKey?.columns ?? [];
    for (const name of primaryKey) {
      if (!columns.some(column => column.key === name.toLowerCase())) {
        throw new ApiError('invalid', `Primary key column ${name} does not exist in table ${this.id}`);
      }
    }
    for (const name of clusteringOf(body)) {
      if (!columns.some(column => column.key === name.toLowerCase())) {
        throw new ApiError(
          'invalid',
          `The field specified for clustering cannot be found in the schema. Invalid field: ${name}.`,
        );
      }
    }
    const partition = (body['timePartitioning'] as { field?: string } | undefined)?.field;
    if (partition !== undefined && !columns.some(column => column.key === partition.toLowerCase())) {
      throw new ApiError(
        'invalid',
        `The field specified for partitioning cannot be found in the schema. Invalid field: ${partition}.`,
      );
    }
    const kept: TableBody = {};
    for (const [key, value] of Object.entries(body)) if (!OUTPUT_ONLY.includes(key)) kept[key] = value;
    if (JSON.stringify(toRest(columns)) !== JSON.stringify(toRest(this.columns)) || this.history.length === 0) {
      this.schemaVersion++;
      this.history.push({ at: now, version: this.schemaVersion, columns });
    }
    this.columns = columns;
    this.primaryKey = primaryKey.map(name => name.toLowerCase());
    this.body = kept;
    this.modifiedAt = now;
    this.version++;
  }

  resource(): Record<string, unknown> {
    const { project, dataset, table } = this.ref;
    return {
      ...this.body,
      kind: 'bigquery#table',
      etag: this.etag,
      id: this.id,
      tableReference: { projectId: project, datasetId: dataset, tableId: table },
      ...(this.columns.length > 0 ? { schema: { fields: toRest(this.columns) } } : {}),
      numRows: String(this.rows.totals.rows),
      numBytes: String(this.rows.totals.bytes),
      creationTime: String(this.createdAt),
      lastModifiedTime: String(this.modifiedAt),
      type: 'TABLE',
      location: 'US',
    };
  }
}

const clusteringOf = (body: TableBody): string[] =>
  (body['clustering'] as { fields?: string[] } | undefined)?.fields ?? [];
