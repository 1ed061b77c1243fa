/** tabledata.insertAll. Source: its reference page, GCP "Streaming data" and "Error messages", kcbq and Aiven code. */
import { ApiError, ValueError } from '../model/api-error.ts';
import { type JsonRow, readRow } from '../model/json-values.ts';
import type { Value } from '../model/schema.ts';
import { InsertIds, seeded } from '../store/insert-ids.ts';
import { jsonChunk } from '../store/rows.ts';
import type { Table } from '../store/table.ts';
import { type Fake, ok, type Request, type Route } from './context.ts';
import { type Answer, payloadTooLarge } from './errors.ts';
import { refOf } from './tables.ts';

interface InputRow {
  readonly insertId?: string;
  readonly json?: JsonRow;
}
interface RowErrors {
  readonly index: number;
  readonly errors: { reason: string; location: string; debugInfo: string; message: string }[];
}

/** Ids belong to an incarnation of a table and go with it. */
const ids = new WeakMap<Table, InsertIds>();

function idsOf(table: Table, fake: Fake): InsertIds {
  let found = ids.get(table);
  if (!found) {
    const { insertIdWindowMs, insertIdMissRate, seed } = fake.options;
    found = new InsertIds(insertIdWindowMs, insertIdMissRate, seeded(seed));
    ids.set(table, found);
  }
  return found;
}

const rowsOf = (request: Request): InputRow[] =>
  Array.isArray(request.body['rows']) ? (request.body['rows'] as InputRow[]) : [];

function insertAll(request: Request, entry: { applied: boolean; outcome: string }): Answer {
  const { fake } = request;
  const { options } = fake;
  if (request.bodyBytes > options.insertAllLimitBytes) {
    if (options.tooLarge === '413') return payloadTooLarge;
    throw new ApiError('badRequest', `Request payload size exceeds the limit: ${options.insertAllLimitBytes} bytes.`);
  }
  const rows = rowsOf(request);
  if (rows.length === 0) throw new ApiError('invalid', 'No rows present in the request.');
  if (rows.length > options.insertAllLimitRows) {
    throw new ApiError(
      'invalid',
      `too many rows present in the request, limit: ${options.insertAllLimitRows} row count: ${rows.length}.`,
    );
  }
  if (request.body['templateSuffix'] !== undefined)
    throw new ApiError('notImplemented', 'This fake has no template tables.');
  const table = fake.warehouse.tableForWriting(refOf(request));
  const now = options.clock.now();
  const { columns } = table.columnsFor(now, options.schemaDelayMs);
  if (columns.length === 0) throw new ApiError('invalid', 'The destination table has no schema.');

  const settings = { ignoreUnknown: request.body['ignoreUnknownValues'] === true, now };
  const good: { id: string | undefined; values: Value[] }[] = [];
  const insertErrors: RowErrors[] = [];
  for (const [index, row] of rows.entries()) {
    try {
      good.push({ id: row.insertId, values: readRow(columns, row.json ?? {}, settings) });
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      const { location, message } = error;
      insertErrors.push({ index, errors: [{ reason: 'invalid', location, debugInfo: '', message }] });
    }
  }
  if (insertErrors.length > 0 && request.body['skipInvalidRows'] !== true) {
    return refuseAll(rows.length, insertErrors, entry);
  }
  const remembered = idsOf(table, fake);
  const written = good.filter(({ id }) => id === undefined || id === '' || remembered.admit(id, now));
  if (written.length > 0) {
    const share = Math.round((request.bodyBytes * written.length) / rows.length);
    table.add(
      jsonChunk(
        columns,
        written.map(({ values }) => values),
        share,
      ),
    );
    entry.applied = true;
  }
  if (insertErrors.length > 0) entry.outcome = 'insertErrors';
  return ok({ kind: 'bigquery#tableDataInsertAllResponse', ...(insertErrors.length > 0 ? { insertErrors } : {}) });
}

/** Without skipInvalidRows one bad row stops all: the others are "stopped", and none is written. */
function refuseAll(count: number, bad: readonly RowErrors[], entry: { outcome: string }): Answer {
  const byIndex = new Map(bad.map(each => [each.index, each]));
  const insertErrors: RowErrors[] = [];
  for (let index = 0; index < count; index++) {
    const stopped = { index, errors: [{ reason: 'stopped', location: '', debugInfo: '', message: '' }] };
    insertErrors.push(byIndex.get(index) ?? stopped);
  }
  entry.outcome = 'insertErrors';
  return ok({ kind: 'bigquery#tableDataInsertAllResponse', insertErrors });
}

export const insertAllRoute: Route = {
  name: 'insertAll',
  verb: 'POST',
  path: ':project/datasets/:dataset/tables/:table/insertAll',
  handle: insertAll,
  describe: request => {
    const rows = rowsOf(request);
    return { rows: rows.length, bytes: request.bodyBytes, insertIds: rows.map(row => row.insertId ?? null) };
  },
};
