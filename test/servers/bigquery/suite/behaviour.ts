/** Registers the cases of the behaviour suite. Cases that a target is known to get wrong are left out, by name. */
import { afterAll, beforeAll, test } from 'vitest';
import { kind, openTarget, type Target } from './target.ts';

/** What bqemulator 1.4.0 gets wrong (docs and connectors' issues say otherwise: see the table in README.md). */
const WRONG_IN_BQEMULATOR = new Set<string>([]);

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
  else test(name, () => run(now()), kind === 'fake' ? undefined : 120_000);
}

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
