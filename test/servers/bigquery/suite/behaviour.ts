/** Registers the cases of the behaviour suite. Cases that a target is known to get wrong are left out, by name. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cancelAppenders } from './append.ts';
import { kind, openTarget, type Target } from './target.ts';

/** What bqemulator 1.4.0 gets wrong (docs and connectors' issues say otherwise: see the table in README.md). */
const WRONG_IN_BQEMULATOR = new Set<string>([
  'the stream and the schema stick',
  'the default stream gives no offset',
  'wrong offsets carry a StorageError',
  'a finalised stream takes no rows',
  'buffered rows are visible up to the flush',
  'flushing again changes nothing',
  'a finalised buffered stream cannot be flushed',
  'a stream is committed once',
  'a bad row refuses the whole request and is named',
  'a field that the table has not is a schema mismatch',
  'a field of the wrong type is refused',
  'a request over 10 MB is refused',
  'one bad row stops the request: nothing is written',
  'an unknown field is refused',
  'a missing required field is refused',
  'a repeated insertId is dropped without a word',
  'a table without columns takes no rows',
  'a request without rows is refused',
  'a body over 10 MB is too large',
  'more than 50,000 rows are too many',
  'a nullable column can be added',
  'a required column cannot be added',
  'a column cannot change its type or go',
  'a patch with an old etag is refused',
  'a wrong query is an error with its place',
  'a DATE outside of 0001 to 9999 is refused',
  'a TIMESTAMP in nanoseconds is out of range',
  'a packed TIME and DATETIME',
  'a packed TIME that is no time is refused',
  'TIME, DATETIME and DATE as literals',
  'NUMERIC as bytes and as text',
  'NUMERIC that does not fit is refused',
  'BIGNUMERIC as bytes and as text',
  'JSON must be JSON',
  'GEOGRAPHY is text in WKT or GeoJSON',
  'text that is no UTF-8 is refused',
  'text longer than its column is refused',
  'repeated values and records',
  'a default is used where it is asked for',
  'a row with a field that its own schema has not is refused',
  'wrappers, google.protobuf.Timestamp, enums, and names that proto does not allow',
]);

let target: Target | null = null;
let tables = 0;
const left: string[] = [];

export const now = (): Target => {
  if (!target) throw new Error('no target');
  return target;
};

/** Opens the target for all cases of a file. */
export function useTarget(): void {
  beforeAll(async () => {
    target = await openTarget();
    if (left.length > 0) console.log(`${kind} gets these wrong, so they are not asked: ${left.join('; ')}`);
    if (kind === 'fake')
      console.log('target: the fake. BIGQUERY_TARGET=google asks the real service (suite/target.ts)');
  }, 120_000);
  afterAll(async () => {
    await target?.close();
    target = null;
  });
}

export function behaviour(name: string, run: (target: Target) => Promise<void>): void {
  if (kind === 'bqemulator' && WRONG_IN_BQEMULATOR.has(name)) left.push(name);
  else test(name, () => run(now()).finally(cancelAppenders), kind === 'fake' ? undefined : 120_000);
}

/** A message that must contain this; bqemulator words some of them differently. */
export const said = (text: string): string =>
  kind === 'bqemulator' ? (expect.any(String) as string) : (expect.stringContaining(text) as string);

export interface TableField {
  name: string;
  type: string;
  mode?: string;
  fields?: TableField[];
  [more: string]: unknown;
}

/** A new table with these columns; returns its name. */
export async function newTable(to: Target, fields: TableField[], more: Record<string, unknown> = {}): Promise<string> {
  const name = `t${++tables}_${Date.now().toString(36)}`;
  await to.bigquery.dataset(to.dataset).createTable(name, { schema: { fields }, ...more } as object);
  return name;
}

export const path = (to: Target, table: string): string =>
  `projects/${to.project}/datasets/${to.dataset}/tables/${table}`;

/** All rows, by SQL. */
export async function read(to: Target, table: string, order = '1', columns = '*'): Promise<Record<string, unknown>[]> {
  const [rows] = await to.bigquery.query({
    query: `SELECT ${columns} FROM \`${to.project}.${to.dataset}.${table}\` ORDER BY ${order}`,
  });
  return rows as Record<string, unknown>[];
}

/** insertAll past the client's own retries; rows are given raw. */
export async function insertAll(
  to: Target,
  table: string,
  body: { rows: { insertId?: string; json: Record<string, unknown> }[]; [more: string]: unknown },
): Promise<{ status: number; text: string; body: InsertAllAnswer }> {
  const response = await fetch(
    `${to.restUrl}/bigquery/v2/projects/${to.project}/datasets/${to.dataset}/tables/${table}/insertAll`,
    {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(await to.headers()) },
      body: JSON.stringify(body),
    },
  );
  const text = await response.text();
  const json = response.headers.get('content-type')?.startsWith('application/json')
    ? (JSON.parse(text) as InsertAllAnswer)
    : {};
  return { status: response.status, text, body: json };
}

export interface InsertAllAnswer {
  kind?: string;
  insertErrors?: { index: number; errors: { reason: string; location: string; message: string }[] }[];
  error?: { code: number; message: string; status: string; errors: { reason: string; message: string }[] };
}
