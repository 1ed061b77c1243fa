import type { Rest } from './rest.ts';

/** tabledata.insertAll (docs: reference/rest/v2/tabledata/insertAll). */

export interface InsertRequest {
  dataset: string;
  table: string;
  /** JSON texts of rows with their insert ids: {"insertId": ..., "json": {...}}. */
  rows: readonly string[];
  skipInvalidRows: boolean;
  ignoreUnknownValues: boolean;
  signal: AbortSignal;
}

export interface InsertError {
  index: number;
  /** BigQuery's words; the first is the first that is wrong. */
  errors: { reason: string; location: string; message: string }[];
}

interface Answer {
  insertErrors?: {
    index?: number | string;
    errors?: { reason?: string; location?: string; message?: string }[];
  }[];
}

export async function insertAll(rest: Rest, request: InsertRequest): Promise<InsertError[]> {
  const { dataset, table, rows, skipInvalidRows, ignoreUnknownValues, signal } = request;
  const body =
    `{"kind":"bigquery#tableDataInsertAllRequest","skipInvalidRows":${skipInvalidRows},` +
    `"ignoreUnknownValues":${ignoreUnknownValues},"rows":[${rows.join(',')}]}`;
  const path = `datasets/${encodeURIComponent(dataset)}/tables/${encodeURIComponent(table)}/insertAll`;
  const { insertErrors = [] } = await rest.call<Answer>({ method: 'POST', path, body, signal });
  return insertErrors.map(({ index = 0, errors = [] }) => ({
    index: Number(index),
    errors: errors.map(({ reason = '', location = '', message = '' }) => ({ reason, location, message })),
  }));
}
