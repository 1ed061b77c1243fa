import type { RestField } from '../schema/columns.ts';
import { RestError } from './rest-errors.ts';
import type { Rest } from './rest.ts';

/** The table's metadata by REST (v2/tables, v2/datasets). */

export interface TableInfo {
  etag: string;
  /** Milliseconds since the epoch, as text: tells a table from one of the same name before it. */
  creationTime: string;
  fields: RestField[];
  primaryKey: string[];
}

export interface NewTable {
  fields: RestField[];
  timePartitioning?: { type: string; field?: string; expirationMs?: string } | undefined;
  requirePartitionFilter?: boolean | undefined;
  clustering?: { fields: string[] } | undefined;
  tableConstraints?: { primaryKey: { columns: string[] } } | undefined;
}

interface TableResource {
  etag?: string;
  creationTime?: string;
  schema?: { fields?: RestField[] };
  tableConstraints?: { primaryKey?: { columns?: string[] } };
}

export class Tables {
  private readonly rest: Rest;
  private readonly project: string;
  private readonly dataset: string;
  private readonly table: string;

  constructor(rest: Rest, project: string, dataset: string, table: string) {
    this.rest = rest;
    this.project = project;
    this.dataset = dataset;
    this.table = table;
  }

  /** null when there is no such table (or dataset). */
  async get(): Promise<TableInfo | null> {
    try {
      return infoOf(await this.rest.call<TableResource>({ method: 'GET', path: this.path() }));
    } catch (error) {
      if (error instanceof RestError && error.status === 404) return null;
      throw error;
    }
  }

  /** Makes the table, and its dataset when that is missing; one that is there already is left as it is. */
  async create(table: NewTable, location: string | undefined): Promise<void> {
    try {
      await this.insert(table);
    } catch (error) {
      if (!(error instanceof RestError) || error.status !== 404) throw error;
      await this.createDataset(location);
      await this.insert(table);
    }
  }

  /** Adds fields to the version `etag`; false when the table has changed since. */
  async replaceFields(fields: readonly RestField[], etag: string): Promise<boolean> {
    const body = JSON.stringify({ schema: { fields } });
    try {
      await this.rest.call({ method: 'PATCH', path: this.path(), body, etag });
      return true;
    } catch (error) {
      if (error instanceof RestError && error.status === 412) return false;
      throw error;
    }
  }

  private async insert({ fields, ...rest }: NewTable): Promise<void> {
    const { project: projectId, dataset: datasetId, table: tableId } = this;
    const body = JSON.stringify({ tableReference: { projectId, datasetId, tableId }, schema: { fields }, ...rest });
    await unlessThere(
      this.rest.call({ method: 'POST', path: `datasets/${encodeURIComponent(datasetId)}/tables`, body }),
    );
  }

  private async createDataset(location: string | undefined): Promise<void> {
    const body = JSON.stringify({
      datasetReference: { projectId: this.project, datasetId: this.dataset },
      ...(location === undefined ? {} : { location }),
    });
    await unlessThere(this.rest.call({ method: 'POST', path: 'datasets', body }));
  }

  private path(): string {
    return `datasets/${encodeURIComponent(this.dataset)}/tables/${encodeURIComponent(this.table)}`;
  }
}

function infoOf({ etag = '', creationTime = '', schema, tableConstraints }: TableResource): TableInfo {
  return { etag, creationTime, fields: schema?.fields ?? [], primaryKey: tableConstraints?.primaryKey?.columns ?? [] };
}

async function unlessThere(made: Promise<unknown>): Promise<void> {
  try {
    await made;
  } catch (error) {
    if (!(error instanceof RestError) || error.status !== 409) throw error;
  }
}
