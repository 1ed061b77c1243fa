import type { SinkErrorKind } from '../../runtime/contract.ts';
import { SinkError } from '../../runtime/sink-error.ts';
import { MISSING_WAIT_MS, QUOTA_WAIT_MS } from './rest-errors.ts';
import {
  STATUS_KEY,
  STORAGE_ERROR_KEY,
  type StorageCode,
  storageCodeOf,
  storageCodeOfStatus,
} from './storage-error.ts';

/** What the Storage Write API's errors mean (storage.proto; grpc.io/docs/guides/status-codes). */

/** A gRPC error; `storage` says more where BigQuery does. */
export class WriteError extends SinkError {
  readonly grpcCode: number;
  readonly storage: StorageCode | null;

  constructor(grpcCode: number, storage: StorageCode | null, message: string, cause?: unknown) {
    const [kind, code, retryAfterMs] = meaningOf(grpcCode, storage, message);
    super(kind, code, message, { cause, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
    this.grpcCode = grpcCode;
    this.storage = storage;
  }
}

type Meaning = [kind: SinkErrorKind, code: string, retryAfterMs?: number];

const BY_STORAGE: Partial<Record<StorageCode, Meaning>> = {
  TABLE_NOT_FOUND: ['transient', 'TABLE_NOT_FOUND', MISSING_WAIT_MS],
  STREAM_NOT_FOUND: ['fenced', 'STREAM_NOT_FOUND'],
  STREAM_FINALIZED: ['fenced', 'STREAM_FINALIZED'],
  INVALID_STREAM_STATE: ['fenced', 'INVALID_STREAM_STATE'],
  INVALID_STREAM_TYPE: ['fatal', 'INVALID_STREAM_TYPE'],
  // The write backend learns of a new column some minutes after the table has it.
  SCHEMA_MISMATCH_EXTRA_FIELDS: ['transient', 'SCHEMA_NOT_SEEN_YET', 5000],
  CMEK_NOT_PROVIDED: ['auth', 'CMEK_NOT_PROVIDED', 60_000],
  INVALID_CMEK_PROVIDED: ['auth', 'INVALID_CMEK_PROVIDED', 60_000],
  CMEK_ENCRYPTION_ERROR: ['auth', 'CMEK_ENCRYPTION_ERROR', 60_000],
  KMS_SERVICE_ERROR: ['transient', 'KMS_SERVICE_ERROR'],
  KMS_PERMISSION_DENIED: ['auth', 'KMS_PERMISSION_DENIED', 60_000],
};

const BY_CODE: Record<number, Meaning> = {
  1: ['transient', 'CANCELLED'],
  2: ['transient', 'UNKNOWN'],
  4: ['transient', 'DEADLINE_EXCEEDED'],
  5: ['transient', 'TABLE_NOT_FOUND', MISSING_WAIT_MS],
  7: ['auth', 'ACCESS_DENIED', 5000],
  8: ['throttled', 'RESOURCE_EXHAUSTED', 1000],
  10: ['transient', 'ABORTED'],
  12: ['fatal', 'UNIMPLEMENTED'],
  13: ['transient', 'INTERNAL'],
  14: ['transient', 'UNAVAILABLE'],
  15: ['transient', 'DATA_LOSS'],
  // Another token is asked for at once.
  16: ['auth', 'UNAUTHENTICATED'],
};

function meaningOf(grpcCode: number, storage: StorageCode | null, message: string): Meaning {
  const named = storage === null ? undefined : BY_STORAGE[storage];
  if (named) return named;
  if (grpcCode === 3) {
    if (/too large|exceeds the maximum/i.test(message)) return ['too-large', 'TOO_LARGE'];
    if (/finalized/i.test(message)) return ['fenced', 'STREAM_FINALIZED'];
    // A request that BigQuery does not understand: waiting and a person help, dead letters would not.
    return ['transient', 'INVALID_ARGUMENT', 10_000];
  }
  if (grpcCode === 8 && /per day|daily/i.test(message)) return ['throttled', 'QUOTA_EXCEEDED', QUOTA_WAIT_MS];
  if (grpcCode === 14 && /throttl|overloaded/i.test(message)) return ['throttled', 'OVERLOADED', 1000];
  return BY_CODE[grpcCode] ?? ['transient', `GRPC_${grpcCode}`];
}

interface GrpcFailure {
  code?: unknown;
  details?: unknown;
  message?: unknown;
  metadata?: { get(key: string): unknown[] } | null;
}

/** What gRPC puts before the words of the credentials (api/storage.ts). */
const FROM_PLUGIN = /^Getting metadata from plugin failed with error: /;

/** Of what a call or a stream threw. */
export function writeErrorOf(thrown: unknown): SinkError {
  if (thrown instanceof SinkError) return thrown;
  const failure = (thrown ?? {}) as GrpcFailure;
  const code = typeof failure.code === 'number' ? failure.code : 2;
  // Without details there is at least the name of the status, in the message.
  const details = typeof failure.details === 'string' ? failure.details : '';
  const said = details === '' ? String(failure.message ?? thrown).trim() : details;
  return new WriteError(code, storageIn(failure.metadata), said.replace(FROM_PLUGIN, ''), thrown);
}

function storageIn(metadata: GrpcFailure['metadata']): StorageCode | null {
  if (!metadata || typeof metadata.get !== 'function') return null;
  const direct = metadata.get(STORAGE_ERROR_KEY)[0];
  if (direct instanceof Uint8Array) return storageCodeOf(direct);
  const status = metadata.get(STATUS_KEY)[0];
  return status instanceof Uint8Array ? storageCodeOfStatus(status) : null;
}
