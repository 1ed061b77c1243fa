import { z } from 'zod';
import { duration } from '../../core/base/units.ts';
import { EXPRESSIONS } from './mapping/expressions.ts';
import { METADATA } from './mapping/mapper.ts';

const name = (what: string): z.ZodOptional<z.ZodString> => z.string().min(1).optional().describe(what);

const streamingInserts = z
  .strictObject({
    skip_invalid_rows: z
      .boolean()
      .default(true)
      .describe('BigQuery takes the good rows of a request that has bad ones; false: they are sent once more without'),
    ignore_unknown_values: z.boolean().default(false).describe('Leave out fields that the table has no column for'),
  })
  .describe('The older API (insertAll): at least once, duplicates mostly removed by insert ids');

const storageWrite = z
  .strictObject({
    stream: z
      .enum(['default', 'committed', 'buffered', 'pending'])
      .default('committed')
      .describe(
        'default: at least once. Exactly once: committed (rows visible at once), buffered (visible once the position is committed), pending (each batch at once)',
      ),
    ignore_unknown_values: z.boolean().default(false).describe('Leave out fields that the table has no column for'),
  })
  .describe('The Storage Write API (gRPC), exactly once by stream offsets');

export interface CreateColumn {
  name: string;
  type: string;
  mode: 'NULLABLE' | 'REQUIRED' | 'REPEATED';
  default?: string | undefined;
  fields?: CreateColumn[] | undefined;
}

const column: z.ZodType<CreateColumn> = z.strictObject({
  name: z.string().min(1).describe('Letters, digits and underscores'),
  type: z.string().min(1).describe('STRING, INT64, NUMERIC(10, 2), TIMESTAMP, STRUCT, ...'),
  mode: z.enum(['NULLABLE', 'REQUIRED', 'REPEATED']).default('NULLABLE').describe('May it be NULL, is it an array'),
  default: z.string().optional().describe('SQL expression for rows that have no value'),
  fields: z
    .lazy(() => z.array(column))
    .optional()
    .describe('Columns of a STRUCT'),
});

const expression = (value: unknown): boolean =>
  typeof value !== 'string' || !/^[A-Z_]+\(.*\)$/i.test(value) || value.toUpperCase() in EXPRESSIONS;

const isSource = (source: string): boolean =>
  !source.startsWith('$') || source.startsWith('$headers.') || METADATA.some(known => known === source);

const schema = z
  .strictObject({
    mapping: z
      .enum(['direct', 'custom', 'nested'])
      .default('direct')
      .describe(
        'direct: fields are columns; custom: column_mappings says which; nested: the row lies under root_field',
      ),
    root_field: name('nested: dotted path of the object that is the row; left out: the whole record'),
    column_mappings: z
      .record(
        z.string().min(1).refine(isSource, { error: 'is none of the values that the log knows' }),
        z.string().min(1),
      )
      .default({})
      .describe(
        '"dotted.source.path" = "column"; also "$key", "$topic", "$partition", "$offset", "$timestamp", "$headers.NAME"',
      ),
    default_values: z
      .record(
        z.string().min(1),
        z.unknown().refine(expression, {
          error: issue =>
            `${String(issue.input)} is no expression that is known; there are ${Object.keys(EXPRESSIONS).join(', ')}`,
        }),
      )
      .default({})
      .describe('column = value for rows that have none: a literal, or CURRENT_TIMESTAMP()'),
    numbers_are: z
      .enum(['seconds', 'milliseconds', 'microseconds'])
      .default('seconds')
      .describe('What a number in a TIMESTAMP column counts since 1970'),
    evolve: z.boolean().default(false).describe('Add a column to the table for a field that it has not'),
    on_incompatible: z
      .enum(['dead_letter', 'stop'])
      .default('dead_letter')
      .describe('A row that does not fit the table: a dead letter, or the sink stops'),
  })
  .prefault({})
  .describe('How records become rows');

const create = z
  .strictObject({
    columns: z.array(column).optional().describe('Columns of a new table; left out: taken from the first rows'),
    partition_by: name('DATE, DATETIME or TIMESTAMP column; "_PARTITIONTIME" for the time of arrival'),
    partition_unit: z.enum(['HOUR', 'DAY', 'MONTH', 'YEAR']).default('DAY').describe('Size of a partition'),
    partition_expiration: duration({ min: 1 }).optional().describe('Partitions are deleted after this time'),
    require_partition_filter: z.boolean().default(false).describe('Queries must name partitions'),
    cluster_by: z.array(z.string()).max(4).default([]).describe('Columns to cluster by, at most 4'),
    primary_key: z.array(z.string()).default([]).describe('For changes (cdc): columns that tell rows apart'),
    location: name('Of a new dataset, such as EU'),
  })
  .prefault({})
  .describe('A table (and dataset) that is created');

const cdc = z
  .strictObject({
    change_type: name('Dotted path whose value is UPSERT or DELETE (also c, r, u, d); left out: UPSERT'),
    sequence: name('Dotted path of a number that grows with each change of a row; left out: the record offset'),
    tombstones: z.boolean().default(true).describe('A record without a value deletes the row that its key names'),
  })
  .describe('Rows are upserts and deletes by primary key, through the default stream');

const input = z
  .strictObject({
    format: z.enum(['json', 'avro']).default('json').describe('What the records hold'),
    schema_file: name('Avro schema (JSON, .avsc), relative to the project'),
    schemas: z
      .record(z.string().regex(/^\d+$/), z.string().min(1))
      .default({})
      .describe('Avro with the registry framing (0, 4 bytes id): "id" = "file.avsc"'),
  })
  .prefault({})
  .describe('How records are decoded');

const auth = z
  .strictObject({
    method: z
      .enum(['application_default', 'service_account', 'metadata_server'])
      .default('application_default')
      .describe('Where credentials come from'),
    key_file: name('service_account: the key file; left out: GOOGLE_APPLICATION_CREDENTIALS'),
    impersonate: name('Service account to act as'),
    delegates: z.array(z.string()).default([]).describe('Chain of service accounts towards it'),
  })
  .prefault({})
  .describe('Credentials');

export const config = z
  .strictObject({
    project: name('Google Cloud project'),
    project_id: name('Another name of `project`'),
    dataset: z.string().min(1).describe('Dataset'),
    table: z.string().min(1).describe('Table'),
    write_method: z
      .union([
        z.enum(['streaming_inserts', 'storage_write_api']),
        z
          .strictObject({ streaming_inserts: streamingInserts.optional(), storage_write_api: storageWrite.optional() })
          .refine(table => Object.values(table).filter(Boolean).length === 1, {
            error: 'write one of `streaming_inserts` and `storage_write_api`',
          }),
      ])
      .default('streaming_inserts')
      .describe('"streaming_inserts", "storage_write_api", or a table of that name with its settings'),
    auto_create_table: z.boolean().default(false).describe('Create the table (and its dataset) when it is not there'),
    create,
    schema,
    cdc: cdc.optional(),
    input,
    auth,
    endpoint: name(
      'Where the REST API is: http://host:port of an emulator, or https://host; BIGQUERY_EMULATOR_HOST says the same',
    ),
    storage_endpoint: name(
      'Where the Storage API is: host:port in plain text, or https://host; BIGQUERY_STORAGE_EMULATOR_HOST says the same',
    ),
  })
  .superRefine((given, context) => {
    const problem = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message });
    if (given.project !== undefined && given.project_id !== undefined && given.project !== given.project_id) {
      problem(['project_id'], '`project` and `project_id` are two names of one thing');
    }
    if ((given.project ?? given.project_id) === undefined) problem(['project'], '`project` is missing');
    if (given.schema.mapping === 'custom' && Object.keys(given.schema.column_mappings).length === 0) {
      problem(['schema', 'mapping'], 'mapping = "custom" needs [schema.column_mappings]');
    }
    if (given.cdc && methodOf(given).kind !== 'default') {
      problem(['cdc'], 'changes go through write_method.storage_write_api with stream = "default"');
    }
    if (given.input.format === 'avro' && !given.input.schema_file && Object.keys(given.input.schemas).length === 0) {
      problem(['input', 'format'], 'format = "avro" needs schema_file or schemas');
    }
  });

export type BigQueryConfig = z.output<typeof config>;

export type WriteMethod =
  | { kind: 'streaming_inserts'; skipInvalidRows: boolean; ignoreUnknown: boolean }
  | { kind: 'default' | 'committed' | 'buffered' | 'pending'; ignoreUnknown: boolean };

/** `write_method` in either form. */
export function methodOf({ write_method: given }: Pick<BigQueryConfig, 'write_method'>): WriteMethod {
  if (given === 'streaming_inserts') return { kind: given, skipInvalidRows: true, ignoreUnknown: false };
  if (given === 'storage_write_api') return { kind: 'committed', ignoreUnknown: false };
  if (given.storage_write_api) {
    const { stream, ignore_unknown_values: ignoreUnknown } = given.storage_write_api;
    return { kind: stream, ignoreUnknown };
  }
  const { skip_invalid_rows: skipInvalidRows = true, ignore_unknown_values: ignoreUnknown = false } =
    given.streaming_inserts ?? {};
  return { kind: 'streaming_inserts', skipInvalidRows, ignoreUnknown };
}

export const projectOf = (given: Pick<BigQueryConfig, 'project' | 'project_id'>): string =>
  given.project ?? given.project_id ?? '';
