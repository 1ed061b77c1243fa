import type { RestField } from '../../../connectors/bigquery/schema/columns.ts';
import { bigQuerySink } from '../../../connectors/bigquery/sink.ts';
import { type BigQueryFake, start } from '../../servers/bigquery/start.ts';

/** A fake BigQuery with the dataset `d`, and tables in it. */

export type FakeOptions = NonNullable<Parameters<typeof start>[0]>;

export interface FakeTable {
  fake: BigQueryFake;
  /** Output of the sink's schema, for this table. */
  config(more?: object): unknown;
  rows(sql?: string): Promise<Record<string, unknown>[]>;
  ids(): Promise<string[]>;
  request(method: string, path: string, body?: object): Promise<unknown>;
  /** Makes the table (again). */
  make(fields?: RestField[], more?: object): Promise<void>;
  close(): Promise<void>;
}

export const ID_AND_N: RestField[] = [
  { name: 'id', type: 'STRING', mode: 'REQUIRED' },
  { name: 'n', type: 'INT64' },
];

export async function fakeTable(options: FakeOptions = {}, fields: RestField[] | null = ID_AND_N): Promise<FakeTable> {
  const fake = await start({ datasets: ['d'], ...options });
  const table: FakeTable = {
    fake,
    config: more =>
      bigQuerySink().config.parse({
        project: fake.project,
        dataset: 'd',
        table: 't',
        endpoint: fake.restUrl,
        storage_endpoint: fake.grpcAddress,
        ...more,
      }),
    rows: (sql = 'SELECT * FROM d.t') => fake.sql(sql),
    ids: async () => (await fake.sql('SELECT id FROM d.t')).map(({ id }) => String(id)),
    async request(method, path, body) {
      const response = await fetch(`${fake.restUrl}/bigquery/v2/projects/${fake.project}/${path}`, {
        method,
        headers: { authorization: 'Bearer of-the-test', 'content-type': 'application/json' },
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
      return text === '' ? null : (JSON.parse(text) as unknown);
    },
    async make(wanted = ID_AND_N, more = {}) {
      const tableReference = { projectId: fake.project, datasetId: 'd', tableId: 't' };
      await this.request('POST', 'datasets/d/tables', { tableReference, schema: { fields: wanted }, ...more });
    },
    close: () => fake.close(),
  };
  if (fields) await table.make(fields);
  return table;
}
