/** The five unary methods of BigQueryWrite. */
import type * as Grpc from '@grpc/grpc-js';
import { toStorage } from '../model/schema.ts';
import { storage } from '../proto/protos.ts';
import type { Fake } from '../rest/context.ts';
import type { Stream, StreamType } from '../store/stream.ts';
import type { Table } from '../store/table.ts';
import { Code, GrpcError, invalid, StorageCode, streamNotFound } from './errors.ts';
import { findStream, findTable, parseName } from './names.ts';

type Requests = {
  CreateWriteStream: InstanceType<typeof storage.CreateWriteStreamRequest>;
  GetWriteStream: InstanceType<typeof storage.GetWriteStreamRequest>;
  FinalizeWriteStream: InstanceType<typeof storage.FinalizeWriteStreamRequest>;
  BatchCommitWriteStreams: InstanceType<typeof storage.BatchCommitWriteStreamsRequest>;
  FlushRows: InstanceType<typeof storage.FlushRowsRequest>;
};
export type UnaryName = keyof Requests;
type Unary<N extends UnaryName> = (fake: Fake, request: Requests[N]) => object;

const TYPES: Record<number, StreamType> = { 1: 'COMMITTED', 2: 'PENDING', 3: 'BUFFERED' };
const NUMBERS: Record<StreamType, number> = { COMMITTED: 1, PENDING: 2, BUFFERED: 3 };
const FULL = 2;

const timestamp = (ms: number): { seconds: number; nanos: number } => ({
  seconds: Math.floor(ms / 1000),
  nanos: (ms % 1000) * 1_000_000,
});

function describe(fake: Fake, table: Table, stream: Stream | null, withSchema: boolean): object {
  const { columns } = table.columnsFor(fake.options.clock.now(), fake.options.schemaDelayMs);
  const createdAt = stream?.createdAt ?? table.createdAt;
  const type = stream?.type ?? 'COMMITTED';
  const committedAt = type === 'COMMITTED' ? createdAt : (stream?.committedAt ?? null);
  return {
    name: stream?.name ?? `${table.path}/streams/_default`,
    type: NUMBERS[type],
    writeMode: 1,
    location: 'us',
    createTime: timestamp(createdAt),
    ...(committedAt === null ? {} : { commitTime: timestamp(committedAt) }),
    ...(withSchema ? { tableSchema: { fields: toStorage(columns) } } : {}),
  };
}

const createWriteStream: Unary<'CreateWriteStream'> = (fake, request) => {
  const table = findTable(fake, parseName(request.parent), request.parent);
  const type = TYPES[Number(request.writeStream?.type ?? 0)];
  if (type === undefined) throw invalid('Stream type must be specified.', request.parent);
  return describe(fake, table, fake.warehouse.createStream(table, type), true);
};

const getWriteStream: Unary<'GetWriteStream'> = (fake, request) => {
  const parsed = parseName(request.name);
  const table = findTable(fake, parsed, request.name);
  const full = Number(request.view) === FULL;
  if (parsed.stream === '_default') return describe(fake, table, null, full);
  const stream = table.streams.get(parsed.stream ?? '');
  if (!stream) throw streamNotFound(request.name);
  return describe(fake, table, stream, full);
};

const finalizeWriteStream: Unary<'FinalizeWriteStream'> = (fake, request) => {
  const stream = findStream(fake, request.name);
  if (stream.finalized && fake.options.finalizeTwice === 'refuse') {
    throw invalid('Stream has been finalized.', request.name, StorageCode.STREAM_FINALIZED);
  }
  stream.finalized = true;
  return { rowCount: stream.end };
};

const flushRows: Unary<'FlushRows'> = (fake, request) => {
  const name = request.writeStream;
  const stream = findStream(fake, name);
  if (stream.type !== 'BUFFERED') {
    throw invalid('FlushRows is only supported on BUFFERED streams.', name, StorageCode.INVALID_STREAM_TYPE);
  }
  // Also for an offset that is flushed already: seen on the real service (flink-bigquery-connector 235).
  if (stream.finalized)
    throw invalid('Stream has been finalized and cannot be flushed.', name, StorageCode.STREAM_FINALIZED);
  const offset = Number(request.offset?.value ?? 0);
  if (offset >= stream.end) {
    throw new GrpcError(
      Code.OUT_OF_RANGE,
      `The flush offset ${offset} is beyond the end of the stream ${stream.end}. Entity: ${name}`,
      {
        code: StorageCode.OFFSET_OUT_OF_RANGE,
        entity: name,
      },
    );
  }
  if (offset < 0) throw invalid(`Invalid flush offset ${offset}.`, name);
  stream.flush(offset + 1);
  return { offset };
};

const batchCommit: Unary<'BatchCommitWriteStreams'> = (fake, request) => {
  const table = findTable(fake, parseName(request.parent), request.parent);
  if (request.writeStreams.length === 0) throw invalid('No write streams to commit.', request.parent);
  const streamErrors: object[] = [];
  const streams: Stream[] = [];
  for (const name of new Set(request.writeStreams)) {
    const parsed = parseName(name);
    const refuse = (code: number, errorMessage: string): number =>
      streamErrors.push({ code, entity: name, errorMessage });
    const stream =
      `${table.path}/streams/${parsed.stream}` === name ? table.streams.get(parsed.stream ?? '') : undefined;
    if (!stream) refuse(StorageCode.STREAM_NOT_FOUND, 'Stream is not found.');
    else if (stream.type !== 'PENDING') refuse(StorageCode.INVALID_STREAM_TYPE, 'Stream is not a PENDING stream.');
    else if (stream.committedAt !== null)
      refuse(StorageCode.STREAM_ALREADY_COMMITTED, 'Stream has been already committed.');
    else if (!stream.finalized) refuse(StorageCode.INVALID_STREAM_STATE, 'Stream has not been finalized.');
    else streams.push(stream);
  }
  if (streamErrors.length > 0) return { streamErrors };
  const now = fake.options.clock.now();
  for (const stream of streams) stream.commit(now);
  return { commitTime: timestamp(now) };
};

export const unaryMethods: { [N in UnaryName]: Unary<N> } = {
  CreateWriteStream: createWriteStream,
  GetWriteStream: getWriteStream,
  FinalizeWriteStream: finalizeWriteStream,
  BatchCommitWriteStreams: batchCommit,
  FlushRows: flushRows,
};

const method = (
  name: string,
  request: Codec,
  response: Codec,
  streams: boolean,
): Grpc.MethodDefinition<object, object> => ({
  path: `/google.cloud.bigquery.storage.v1.BigQueryWrite/${name}`,
  requestStream: streams,
  responseStream: streams,
  requestSerialize: message => Buffer.from(request.encode(message).finish()),
  // The size of the request as it came is checked against the limit.
  requestDeserialize: streams
    ? bytes => ({ request: request.decode(bytes), bytes: bytes.length })
    : bytes => request.decode(bytes),
  responseSerialize: message => Buffer.from(response.encode(message).finish()),
  responseDeserialize: bytes => response.decode(bytes),
});
interface Codec {
  encode(message: object): { finish(): Uint8Array };
  decode(bytes: Uint8Array): object;
}

/** The service as storage.proto has it. */
export const service: Grpc.ServiceDefinition = {
  CreateWriteStream: method('CreateWriteStream', storage.CreateWriteStreamRequest, storage.WriteStream, false),
  AppendRows: method('AppendRows', storage.AppendRowsRequest, storage.AppendRowsResponse, true),
  GetWriteStream: method('GetWriteStream', storage.GetWriteStreamRequest, storage.WriteStream, false),
  FinalizeWriteStream: method(
    'FinalizeWriteStream',
    storage.FinalizeWriteStreamRequest,
    storage.FinalizeWriteStreamResponse,
    false,
  ),
  BatchCommitWriteStreams: method(
    'BatchCommitWriteStreams',
    storage.BatchCommitWriteStreamsRequest,
    storage.BatchCommitWriteStreamsResponse,
    false,
  ),
  FlushRows: method('FlushRows', storage.FlushRowsRequest, storage.FlushRowsResponse, false),
};
