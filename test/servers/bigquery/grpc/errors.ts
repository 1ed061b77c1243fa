/** Statuses and the StorageError details that come with them. Source: storage.proto; texts as connectors' issues quote them. */
import { Metadata, status as Code, type StatusObject } from '@grpc/grpc-js';
import { rpc, storage } from '../proto/protos.ts';

export { Code };
export const StorageCode = storage.StorageError.StorageErrorCode;

export interface StorageDetail {
  readonly code: number;
  readonly entity: string;
}

/** Thrown inside a method; what it becomes depends on where: a status, or an error inside an AppendRowsResponse. */
export class GrpcError extends Error {
  override readonly name = 'GrpcError';
  readonly code: number;
  readonly detail: StorageDetail | null;
  /** AppendRows: whether the connection ends with it. */
  readonly endsConnection: boolean;

  constructor(code: number, message: string, detail: StorageDetail | null = null, endsConnection = false) {
    super(message);
    this.code = code;
    this.detail = detail;
    this.endsConnection = endsConnection;
  }
}

const ANY = 'type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError';

const encodeDetail = (detail: StorageDetail, message: string): Uint8Array =>
  storage.StorageError.encode({ code: detail.code, entity: detail.entity, errorMessage: message }).finish();

/** As `google.rpc.Status`, for an error inside a response. */
export function toRpcStatus(error: GrpcError): {
  code: number;
  message: string;
  details: { type_url: string; value: Uint8Array }[];
} {
  const details = error.detail ? [{ type_url: ANY, value: encodeDetail(error.detail, error.message) }] : [];
  return { code: error.code, message: error.message, details };
}

/** As the end of a call: the detail stands in the trailers, in both forms that clients look for. */
export function toStatus(error: GrpcError): Partial<StatusObject> {
  const metadata = new Metadata();
  if (error.detail) {
    metadata.add(
      'google.cloud.bigquery.storage.v1.storageerror-bin',
      Buffer.from(encodeDetail(error.detail, error.message)),
    );
    metadata.add('grpc-status-details-bin', Buffer.from(rpc.Status.encode(toRpcStatus(error)).finish()));
  }
  return { code: error.code, details: error.message, metadata };
}

const named = (text: string, entity: string): string => `${text} Entity: ${entity}`;

export const invalid = (text: string, entity: string, code: number | null = null, ends = false): GrpcError =>
  new GrpcError(Code.INVALID_ARGUMENT, named(text, entity), code === null ? null : { code, entity }, ends);

export const tableNotFound = (entity: string): GrpcError =>
  new GrpcError(
    Code.NOT_FOUND,
    named('Requested entity was not found.', entity),
    { code: StorageCode.TABLE_NOT_FOUND, entity },
    true,
  );

export const streamNotFound = (entity: string): GrpcError =>
  new GrpcError(
    Code.NOT_FOUND,
    named('Requested entity was not found.', entity),
    { code: StorageCode.STREAM_NOT_FOUND, entity },
    true,
  );

export const finalized = (entity: string): GrpcError =>
  invalid('Stream has been finalized and cannot be appended.', entity, StorageCode.STREAM_FINALIZED);

export const offsetExists = (entity: string, expected: number, received: number): GrpcError =>
  new GrpcError(
    Code.ALREADY_EXISTS,
    named(`The offset is within stream, expected offset ${expected}, received ${received}`, entity),
    {
      code: StorageCode.OFFSET_ALREADY_EXISTS,
      entity,
    },
  );

export const offsetBeyond = (entity: string, expected: number, received: number): GrpcError =>
  new GrpcError(
    Code.OUT_OF_RANGE,
    named(`The offset is beyond stream, expected offset ${expected}, received ${received}`, entity),
    {
      code: StorageCode.OFFSET_OUT_OF_RANGE,
      entity,
    },
  );
