/** The fake's own endpoints, for the process form: `/__faults`, `/__journal`, `/__totals`, `/__sql`. */
import type { Rule } from '../faults.ts';
import { ok, type Route } from './context.ts';

const printable = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

export const controlRoutes: Route[] = [
  { name: '__faults.list', verb: 'GET', path: 'faults', handle: ({ fake }) => ok({ faults: fake.faults.list() }) },
  {
    name: '__faults.add',
    verb: 'POST',
    path: 'faults',
    handle: ({ fake, body }) => ok({ id: fake.faults.add(body as unknown as Rule) }),
  },
  {
    name: '__faults.clear',
    verb: 'DELETE',
    path: 'faults',
    handle: ({ fake }) => {
      fake.faults.clear();
      return { status: 204, body: null };
    },
  },
  {
    name: '__journal.list',
    verb: 'GET',
    path: 'journal',
    handle: ({ fake, query }) => {
      const entries = fake.journal.list(query.get('method') ?? undefined);
      return ok({ entries: entries.slice(-Number(query.get('last') ?? entries.length)) });
    },
  },
  {
    name: '__journal.clear',
    verb: 'DELETE',
    path: 'journal',
    handle: ({ fake }) => {
      fake.journal.clear();
      return { status: 204, body: null };
    },
  },
  {
    name: '__totals',
    verb: 'GET',
    path: 'totals',
    handle: ({ fake }) =>
      ok(Object.fromEntries([...fake.warehouse.allTables()].map(table => [table.id, table.rows.totals]))),
  },
  {
    name: '__sql',
    verb: 'POST',
    path: 'sql',
    handle: async ({ fake, body }) => {
      const rows = await fake.sql.objects(String(body['query']), fake.options.project);
      return ok({ rows: JSON.parse(JSON.stringify(rows, printable)) as unknown });
    },
  },
];
