/** Starts the fake inside this process. */
import { Faults } from './faults.ts';
import { startGrpc } from './grpc/server.ts';
import { Journal } from './journal.ts';
import { defaults, type Options } from './options.ts';
import type { Fake } from './rest/context.ts';
import { startRest } from './rest/server.ts';
import { Sql } from './sql/sql.ts';
import type { Totals } from './store/rows.ts';
import { Warehouse } from './store/warehouse.ts';

export interface BigQueryFake {
  readonly project: string;
  readonly restPort: number;
  readonly grpcPort: number;
  /** For `apiEndpoint` of the REST client, and BIGQUERY_EMULATOR_HOST. */
  readonly restUrl: string;
  /** For BIGQUERY_STORAGE_EMULATOR_HOST. */
  readonly grpcAddress: string;
  readonly faults: Faults;
  readonly journal: Journal;
  /** SELECT only; `d.t` is a table of the fake's project. @throws ApiError `invalidQuery` */
  sql(text: string): Promise<Record<string, unknown>[]>;
  /** Rows, bytes and checksum that a table has taken in. */
  totals(dataset: string, table: string): Totals;
  close(): Promise<void>;
}

export async function start(given: Partial<Options> = {}): Promise<BigQueryFake> {
  const options: Options = { ...defaults, ...given };
  const warehouse = new Warehouse(options);
  const fake: Fake = {
    options,
    warehouse,
    sql: new Sql(warehouse),
    journal: new Journal(options.clock, options.journalLimit),
    faults: new Faults(options.clock),
  };
  for (const dataset of options.datasets) warehouse.createDataset(options.project, dataset, {});
  const rest = await startRest(fake, options.restPort);
  const grpc = await startGrpc(fake, options.grpcPort);
  return {
    project: options.project,
    restPort: rest.port,
    grpcPort: grpc.port,
    restUrl: `http://127.0.0.1:${rest.port}`,
    grpcAddress: `127.0.0.1:${grpc.port}`,
    faults: fake.faults,
    journal: fake.journal,
    sql: text => fake.sql.objects(text, options.project),
    totals: (dataset, table) => warehouse.table({ project: options.project, dataset, table }).rows.totals,
    close: async () => {
      await Promise.all([rest.close(), grpc.close()]);
      await fake.sql.close();
    },
  };
}
