/** tabledata.list, jobs.query, jobs.insert with a query, jobs.getQueryResults: reading through DuckDB. */
import { randomUUID } from 'node:crypto';
import { ApiError } from '../model/api-error.ts';
import type { Result } from '../sql/sql.ts';
import { schemaName } from '../sql/dialect.ts';
import { cell, quote, type TimestampFormat } from '../sql/types.ts';
import { ok, type Request, type Route } from './context.ts';
import { refOf } from './tables.ts';

interface Job {
  readonly id: string;
  readonly project: string;
  readonly sql: string;
  readonly result: Result;
}

interface QueryBody {
  query?: string;
  queryParameters?: { name?: string; parameterType?: { type?: string }; parameterValue?: { value?: string } }[];
  useLegacySql?: boolean;
  maxResults?: number;
  formatOptions?: { useInt64Timestamp?: boolean; timestampOutputFormat?: string };
}

/** Results are kept for the pages that come later, the newest 100. */
const jobs = new WeakMap<object, Map<string, Job>>();

function jobsOf(request: Request): Map<string, Job> {
  let found = jobs.get(request.fake);
  if (!found) jobs.set(request.fake, (found = new Map()));
  return found;
}

async function start(request: Request, body: QueryBody, id: string = randomUUID()): Promise<Job> {
  const project = request.at['project'] ?? '';
  if (body.useLegacySql === true) throw new ApiError('notImplemented', 'This fake has no legacy SQL.');
  const result = await request.fake.sql.query(body.query ?? '', project, parametersOf(body));
  const job = { id, project, sql: body.query ?? '', result };
  const all = jobsOf(request);
  all.set(id, job);
  if (all.size > 100) all.delete(all.keys().next().value ?? '');
  return job;
}

function parametersOf(body: QueryBody): Record<string, string | number | bigint | boolean | null> | undefined {
  if (!body.queryParameters?.length) return undefined;
  return Object.fromEntries(
    body.queryParameters.map(({ name, parameterType, parameterValue }) => {
      if (!name) throw new ApiError('notImplemented', 'This fake has named query parameters only.');
      const value = parameterValue?.value ?? null;
      if (value === null) return [name, null];
      const type = (parameterType?.type ?? 'STRING').toUpperCase();
      if (type === 'INT64' || type === 'INTEGER') return [name, BigInt(value)];
      if (type === 'FLOAT64' || type === 'FLOAT') return [name, Number(value)];
      return [name, type === 'BOOL' || type === 'BOOLEAN' ? value === 'true' : value];
    }),
  );
}

function jobOf(request: Request): Job {
  const id = request.at['job'] ?? '';
  const job = jobsOf(request).get(id);
  if (!job) throw new ApiError('notFound', `Not found: Job ${request.at['project']}:${id}`);
  return job;
}

function formatOf(request: Request, body?: QueryBody): TimestampFormat {
  const named = body?.formatOptions?.timestampOutputFormat ?? request.query.get('formatOptions.timestampOutputFormat');
  if (named === 'ISO8601_STRING') return 'iso';
  const int64 =
    body?.formatOptions?.useInt64Timestamp ?? request.query.get('formatOptions.useInt64Timestamp') === 'true';
  return int64 || named === 'INT64' ? 'int64' : 'float';
}

function page(request: Request, result: Result, format: TimestampFormat, given?: number): Record<string, unknown> {
  const from = Number(request.query.get('pageToken') ?? request.query.get('startIndex') ?? 0);
  const size = given ?? Number(request.query.get('maxResults') ?? 10_000);
  const rows = result.rows.slice(from, from + size);
  return {
    totalRows: String(result.rows.length),
    rows: rows.map(row => ({ f: row.map(value => ({ v: cell(value, format) })) })),
    ...(from + rows.length < result.rows.length ? { pageToken: String(from + rows.length) } : {}),
  };
}

const reference = (job: Job): Record<string, string> => ({ projectId: job.project, jobId: job.id, location: 'US' });

const jobResource = (job: Job): Record<string, unknown> => ({
  kind: 'bigquery#job',
  id: `${job.project}:US.${job.id}`,
  jobReference: reference(job),
  configuration: { jobType: 'QUERY', query: { query: job.sql, useLegacySql: false } },
  status: { state: 'DONE' },
  statistics: { query: { totalBytesProcessed: '0', statementType: 'SELECT' } },
});

const results = (request: Request, job: Job, format: TimestampFormat, size?: number): Record<string, unknown> => ({
  schema: { fields: job.result.fields },
  jobReference: reference(job),
  jobComplete: true,
  cacheHit: false,
  totalBytesProcessed: '0',
  ...page(request, job.result, format, size),
});

export const queryRoutes: Route[] = [
  {
    name: 'tabledata.list',
    verb: 'GET',
    path: ':project/datasets/:dataset/tables/:table/data',
    handle: async request => {
      const { project, dataset, table } = refOf(request);
      const found = request.fake.warehouse.table({ project, dataset, table });
      const from = `${quote(schemaName(project, dataset))}.${quote(table)}`;
      const result =
        found.columns.length === 0
          ? { fields: [], rows: [] }
          : await request.fake.sql.query(`SELECT * FROM ${from}`, project);
      return ok({ kind: 'bigquery#tableDataList', etag: found.etag, ...page(request, result, formatOf(request)) });
    },
  },
  {
    name: 'jobs.query',
    verb: 'POST',
    path: ':project/queries',
    handle: async request => {
      const body = request.body as QueryBody;
      const job = await start(request, body);
      return ok({ kind: 'bigquery#queryResponse', ...results(request, job, formatOf(request, body), body.maxResults) });
    },
  },
  {
    name: 'jobs.getQueryResults',
    verb: 'GET',
    path: ':project/queries/:job',
    handle: request =>
      ok({ kind: 'bigquery#getQueryResultsResponse', ...results(request, jobOf(request), formatOf(request)) }),
  },
  {
    name: 'jobs.insert',
    verb: 'POST',
    path: ':project/jobs',
    handle: async request => {
      const { configuration, jobReference } = request.body as {
        configuration?: { query?: QueryBody };
        jobReference?: { jobId?: string };
      };
      if (!configuration?.query) throw new ApiError('notImplemented', 'This fake runs query jobs only.');
      return ok(jobResource(await start(request, configuration.query, jobReference?.jobId)));
    },
  },
  {
    name: 'jobs.get',
    verb: 'GET',
    path: ':project/jobs/:job',
    handle: request => ok(jobResource(jobOf(request))),
  },
];
