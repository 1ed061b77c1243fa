import type { Clock } from '../../../core/base/clock.ts';
import { SinkError } from '../../runtime/sink-error.ts';
import { AppendCall, type CancellableStream } from './append-call.ts';
import type { Credentials } from './credentials.ts';
import { WriteError, writeErrorOf } from './grpc-errors.ts';
import type { StorageCode } from './storage-error.ts';

/** The Storage Write API through Google's generated client (google.cloud.bigquery.storage.v1.BigQueryWrite). */

export type StreamType = 'COMMITTED' | 'BUFFERED' | 'PENDING';

/** Nothing is tried again by the client: the runtime does that, once for all. */
const CALL = { timeout: 60_000, retry: null };
/** gRPC's codes. */
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

interface GeneratedClient {
  initialize(): Promise<unknown>;
  createWriteStream(request: object, options: object): Promise<[{ name?: string | null }]>;
  finalizeWriteStream(request: object, options: object): Promise<[{ rowCount?: unknown }]>;
  flushRows(request: object, options: object): Promise<unknown>;
  batchCommitWriteStreams(request: object, options: object): Promise<[BatchCommitAnswer]>;
  appendRows(options: object): CancellableStream;
  close(): Promise<void>;
}

interface BatchCommitAnswer {
  commitTime?: object | null;
  streamErrors?: { code?: string | number | null; entity?: string | null; errorMessage?: string | null }[] | null;
}

export class Storage {
  /** projects/p/datasets/d/tables/t */
  readonly table: string;
  private readonly client: GeneratedClient;
  private readonly credentials: Credentials;
  private readonly clock: Clock;

  private constructor(client: GeneratedClient, table: string, credentials: Credentials, clock: Clock) {
    this.client = client;
    this.table = table;
    this.credentials = credentials;
    this.clock = clock;
  }

  /** `endpoint`: host:port of an emulator, without encryption, or https://host of a private way to Google; null: Google. */
  static async open(
    { project, dataset, table }: { project: string; dataset: string; table: string },
    endpoint: string | null,
    credentials: Credentials,
    clock: Clock,
  ): Promise<Storage> {
    // Only the generated client: the package's index would load Arrow and the managed writer too.
    const [{ BigQueryWriteClient }, gax] = await Promise.all([
      import('@google-cloud/bigquery-storage/build/src/v1/big_query_write_client.js'),
      import('google-gax'),
    ]);
    const { credentials: channel, Metadata } = gax.grpc;
    const [host, port] = endpoint?.replace(/^\w+:\/\//, '').split(':') ?? [];
    const metadata = (
      _: unknown,
      done: (error: Error | null, metadata?: InstanceType<typeof Metadata>) => void,
    ): void => {
      credentials.headers().then(
        headers => {
          const made = new Metadata();
          for (const [name, value] of headers) made.set(name, value);
          done(null, made);
        },
        (error: Error) => done(asPluginError(error)),
      );
    };
    const sslCreds =
      endpoint === null || endpoint.startsWith('https://')
        ? channel.combineChannelCredentials(channel.createSsl(), channel.createFromMetadataGenerator(metadata))
        : channel.createInsecure();
    const client = new BigQueryWriteClient({
      projectId: project,
      sslCreds,
      // Else the client would look for credentials of its own, on the metadata server too.
      auth: { getUniverseDomain: async () => 'googleapis.com' },
      fallback: false,
      ...(endpoint === null ? {} : { servicePath: host, port: Number(port ?? 443) }),
      // Answers with 10,000 row errors are long.
      'grpc.max_receive_message_length': 64 * 1024 * 1024,
      // A peer that is gone without a word is found out, also while nothing is under way.
      'grpc.keepalive_time_ms': 60_000,
      'grpc.keepalive_timeout_ms': 20_000,
    } as never) as unknown as GeneratedClient;
    await client.initialize();
    return new Storage(client, `projects/${project}/datasets/${dataset}/tables/${table}`, credentials, clock);
  }

  /** `short` names are what comes behind .../streams/: they are what a state can hold. */
  nameOf(short: string): string {
    return `${this.table}/streams/${short}`;
  }

  async create(type: StreamType): Promise<string> {
    const [{ name }] = await this.answered(
      this.client.createWriteStream({ parent: this.table, writeStream: { type } }, CALL),
    );
    return (name ?? '').slice(this.table.length + '/streams/'.length);
  }

  /** No more appends, whoever tries; the rows that the stream has. */
  async finalize(short: string): Promise<number> {
    const [{ rowCount }] = await this.answered(this.client.finalizeWriteStream({ name: this.nameOf(short) }, CALL));
    return Number(rowCount ?? 0);
  }

  /** Makes the rows of a BUFFERED stream visible up to and with `offset`. */
  async flush(short: string, offset: number): Promise<void> {
    const request = { writeStream: this.nameOf(short), offset: { value: String(offset) } };
    await this.answered(this.client.flushRows(request, CALL));
  }

  /** Makes the rows of finalized PENDING streams visible, all or none; those named in the result were committed before. */
  async commit(streams: readonly string[]): Promise<void> {
    let left = streams;
    while (left.length > 0) {
      const request = { parent: this.table, writeStreams: left.map(short => this.nameOf(short)) };
      const [answer] = await this.answered(this.client.batchCommitWriteStreams(request, CALL));
      const errors = answer.streamErrors ?? [];
      if (errors.length === 0) return;
      const done = errors.filter(({ code }) => code === 'STREAM_ALREADY_COMMITTED' || code === 2);
      const bad = errors.find(error => !done.includes(error));
      if (bad) {
        const code = typeof bad.code === 'string' ? (bad.code as StorageCode) : null;
        throw new WriteError(9, code, bad.errorMessage ?? `the stream ${bad.entity} cannot be committed`);
      }
      const entities = new Set(done.map(({ entity }) => (entity ?? '').split('/').at(-1)));
      const before = left.length;
      left = left.filter(short => !entities.has(short));
      if (left.length === before) throw new WriteError(13, null, 'BigQuery names streams that were not asked for');
    }
  }

  /** A connection for appends. Every first request of one names its stream and the writer's schema. */
  append(short: string): AppendCall {
    const headers = { 'x-goog-request-params': `write_stream=${encodeURIComponent(this.nameOf(short))}` };
    const stream = this.client.appendRows({ otherArgs: { headers }, timeout: 24 * 3600e3 });
    stream.on('error', (thrown: unknown) => this.failed(writeErrorOf(thrown)));
    return new AppendCall(stream, this.clock);
  }

  close(): Promise<void> {
    return this.client.close();
  }

  private async answered<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (thrown) {
      throw this.failed(writeErrorOf(thrown));
    }
  }

  private failed(error: SinkError): SinkError {
    if (error.code === 'UNAUTHENTICATED') this.credentials.refused();
    return error;
  }
}

/** gRPC ends the call with the numeric `code` of the error, and only tells its message. */
function asPluginError(error: Error): Error {
  const isRefusal = error instanceof SinkError && error.sinkKind === 'auth';
  return Object.assign(new Error(error.message), { code: isRefusal ? UNAUTHENTICATED : UNAVAILABLE });
}
