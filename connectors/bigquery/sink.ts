import type {
  ConnectorContext,
  PartitionWriter,
  Sink,
  SinkCaps,
  SinkConnector,
  SinkPartition,
} from '../runtime/contract.ts';
import { readFile } from '../../core/base/read-file.ts';
import { googleCredentials, NOBODY } from './api/credentials.ts';
import { Rest } from './api/rest.ts';
import { Storage } from './api/storage.ts';
import { Tables } from './api/tables.ts';
import { type BigQueryConfig, config, methodOf, projectOf, type WriteMethod } from './config.ts';
import type { JsonOptions } from './encode/json-encoder.ts';
import { decoderOf } from './mapping/input.ts';
import { mapperOf } from './mapping/mapper.ts';
import { TableGuide } from './table/guide.ts';
import { Changes } from './write/changes.ts';
import { DefaultWriter } from './write/default-writer.ts';
import { InsertWriter } from './write/insert-writer.ts';
import { acquirePending } from './write/pending-writer.ts';
import { Encoders, type WriterSettings } from './write/settings.ts';
import { Shaper } from './write/shaper.ts';
import { acquireStream } from './write/takeover.ts';

const GOOGLE = 'https://bigquery.googleapis.com';

/** `[sinks.NAME.bigquery]`. Google's clients are loaded when a sink is opened, not before. */
export function bigQuerySink(): SinkConnector<BigQueryConfig> {
  return {
    type: 'bigquery',
    description: 'A BigQuery table, by the Storage Write API (exactly once) or by streaming inserts',
    config,
    caps: (options): SinkCaps => capsOf(methodOf(options)),
    open: openSink,
  };
}

function capsOf({ kind }: WriteMethod): SinkCaps {
  const maxBytes = 16 * 1024 * 1024;
  switch (kind) {
    case 'streaming_inserts':
    case 'default':
      return { guarantee: 'at-least-once', unordered: true, maxInFlight: 8, maxRows: 50_000, maxBytes };
    case 'committed':
    case 'buffered':
      // The names of a whole batch of refused rows must fit into a state.
      return { guarantee: 'exactly-once', maxInFlight: 8, maxRows: 1000, maxBytes };
    case 'pending':
      return { guarantee: 'exactly-once', maxInFlight: 1, maxRows: 50_000, maxBytes };
  }
}

async function openSink(options: BigQueryConfig, context: ConnectorContext): Promise<Sink> {
  const { clock, random } = context;
  const { dataset, table, cdc, schema, auto_create_table: mayCreate } = options;
  const project = projectOf(options);
  const method = methodOf(options);
  const endpoint = options.endpoint ?? hostOf(process.env['BIGQUERY_EMULATOR_HOST']);
  const storageEndpoint = options.storage_endpoint ?? process.env['BIGQUERY_STORAGE_EMULATOR_HOST'] ?? null;
  const resolvePath = (path: string): string => resolveIn(context.baseDirectory, path);
  // An emulator, which has no certificate, asks for nobody's name, unless credentials are set all the same.
  const sources = {
    resolvePath,
    readText: async (path: string) => (await readFile(context.disk, path)).toString(),
    env: process.env,
  };
  const isGoogle = endpoint === null || endpoint.startsWith('https://');
  const credentials = isGoogle || hasAuth(options) ? googleCredentials(options.auth, sources) : NOBODY;
  const rest = new Rest(endpoint ?? GOOGLE, project, credentials);
  const guide = new TableGuide(new Tables(rest, project, dataset, table), clock, random);
  const ignoreUnknown = method.ignoreUnknown || (schema.evolve && 'empty');
  const json: JsonOptions = { ignoreUnknown, epoch: schema.numbers_are };
  const shaper = new Shaper({
    config: options,
    json,
    guide,
    decode: await decoderOf(options.input, context.disk, resolvePath),
    map: mapperOf(schema, { clock, random }),
    changes: cdc ? new Changes(cdc) : null,
    clock,
  });
  if (method.kind === 'streaming_inserts') {
    const { skipInvalidRows } = method;
    return {
      acquire: async partition =>
        new InsertWriter({ rest, shaper, guide, json, dataset, table, skipInvalidRows }, partition),
      close: async () => {},
    };
  }
  const storage = await Storage.open({ project, dataset, table }, storageEndpoint, credentials, clock);
  const encoders = new Encoders(json, cdc !== undefined);
  const traceId = `millstream:${context.pipeline}.${context.name}`;
  const settings: WriterSettings = { storage, guide, shaper, encoders, clock, mayCreate, traceId };
  return {
    acquire: partition => acquire(method.kind, settings, partition),
    close: () => storage.close(),
  };
}

async function acquire(
  kind: Exclude<WriteMethod['kind'], 'streaming_inserts'>,
  settings: WriterSettings,
  partition: SinkPartition,
): Promise<PartitionWriter> {
  switch (kind) {
    case 'default':
      return new DefaultWriter(settings, partition.partition);
    case 'committed':
      return acquireStream(settings, partition, false);
    case 'buffered':
      return acquireStream(settings, partition, true);
    case 'pending':
      return acquirePending(settings, partition);
  }
}

const hasAuth = ({ auth }: BigQueryConfig): boolean =>
  auth.method !== 'application_default' || auth.key_file !== undefined || auth.impersonate !== undefined;

const hostOf = (given: string | undefined): string | null =>
  given === undefined || given === '' ? null : /^https?:\/\//.test(given) ? given : `http://${given}`;

const resolveIn = (folder: string, path: string): string => (path.startsWith('/') ? path : `${folder}/${path}`);
