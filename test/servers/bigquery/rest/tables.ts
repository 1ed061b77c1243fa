import { ApiError } from '../model/api-error.ts';
import type { Table, TableBody, TableRef } from '../store/table.ts';
import { ok, type Request, type Route } from './context.ts';

export const refOf = ({ at }: Request): TableRef => ({
  project: at['project'] ?? '',
  dataset: at['dataset'] ?? '',
  table: at['table'] ?? '',
});

/** If-Match: the change happens only to the state that the client has seen. */
function checkEtag(request: Request, table: Table): void {
  const wanted = request.headers['if-match'];
  if (wanted === undefined || wanted === '*') return;
  const bare = String(wanted).replace(/^W\//, '').replaceAll('"', '');
  if (bare !== table.etag) throw new ApiError('conditionNotMet', 'Precondition check failed.');
}

export const tableRoutes: Route[] = [
  {
    name: 'tables.list',
    verb: 'GET',
    path: ':project/datasets/:dataset/tables',
    handle: request => {
      const { project, dataset } = refOf(request);
      const tables = [...request.fake.warehouse.dataset(project, dataset).tables.values()].map(table => {
        const { schema: _, ...rest } = table.resource();
        return rest;
      });
      return ok({ kind: 'bigquery#tableList', tables, totalItems: tables.length });
    },
  },
  {
    name: 'tables.insert',
    verb: 'POST',
    path: ':project/datasets/:dataset/tables',
    handle: request => {
      const body = request.body as TableBody;
      const table = body.tableReference?.tableId ?? '';
      return ok(request.fake.warehouse.createTable({ ...refOf(request), table }, body).resource());
    },
    describe: request => {
      const { project, dataset } = refOf(request);
      return { table: `${project}:${dataset}.${(request.body as TableBody).tableReference?.tableId ?? ''}` };
    },
  },
  {
    name: 'tables.get',
    verb: 'GET',
    path: ':project/datasets/:dataset/tables/:table',
    handle: request => ok(request.fake.warehouse.table(refOf(request)).resource()),
  },
  {
    name: 'tables.patch',
    verb: 'PATCH',
    path: ':project/datasets/:dataset/tables/:table',
    handle: request => {
      const table = request.fake.warehouse.table(refOf(request));
      checkEtag(request, table);
      table.patch(request.body, request.fake.options.clock.now());
      return ok(table.resource());
    },
  },
  {
    name: 'tables.update',
    verb: 'PUT',
    path: ':project/datasets/:dataset/tables/:table',
    handle: request => {
      const table = request.fake.warehouse.table(refOf(request));
      checkEtag(request, table);
      table.replace(request.body, request.fake.options.clock.now());
      return ok(table.resource());
    },
  },
  {
    name: 'tables.delete',
    verb: 'DELETE',
    path: ':project/datasets/:dataset/tables/:table',
    handle: request => {
      request.fake.warehouse.dropTable(refOf(request));
      return { status: 204, body: null };
    },
  },
];
