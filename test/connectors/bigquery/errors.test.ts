import { expect, test } from 'vitest';
import { writeErrorOf, WriteError } from '../../../connectors/bigquery/api/grpc-errors.ts';
import { restError } from '../../../connectors/bigquery/api/rest-errors.ts';
import {
  storageCodeOf,
  storageCodeOfDetails,
  storageCodeOfStatus,
} from '../../../connectors/bigquery/api/storage-error.ts';
import { failureOf } from '../../../connectors/runtime/failure.ts';

const body = (reason: string, message = 'said'): string =>
  JSON.stringify({ error: { code: 400, message, errors: [{ reason, message, domain: 'global' }] } });

test.each([
  [403, body('quotaExceeded'), 'throttled', 'QUOTA_EXCEEDED', 600_000],
  [403, body('rateLimitExceeded'), 'throttled', 'RATE_LIMITED', 1000],
  [403, body('accessDenied'), 'auth', 'ACCESS_DENIED', 0],
  [403, '<html>', 'auth', 'ACCESS_DENIED', 0],
  [401, body('authError'), 'auth', 'UNAUTHENTICATED', 0],
  [404, body('notFound'), 'transient', 'TABLE_NOT_FOUND', 20_000],
  [413, '<html>413 Payload Too Large</html>', 'too-large', 'TOO_LARGE', 0],
  [400, body('badRequest', 'Request payload size exceeds the limit: 10485760 bytes.'), 'too-large', 'TOO_LARGE', 0],
  [400, body('invalid', 'too many rows present in the request, limit: 50000'), 'too-large', 'TOO_LARGE', 0],
  [400, body('invalid', 'The destination table has no schema.'), 'transient', 'TABLE_NOT_READY', 5000],
  [400, body('invalidQuery', 'Could not serialize access to table'), 'transient', 'TABLE_NOT_READY', 5000],
  [400, body('invalid', 'what is that?'), 'unknown', 'INVALID', 0],
  [400, body('jobBackendError'), 'transient', 'BACKEND_ERROR', 0],
  [500, body('internalError'), 'transient', 'BACKEND_ERROR', 0],
  [502, '<html>', 'transient', 'BACKEND_ERROR', 0],
  [503, body('backendError'), 'transient', 'BACKEND_ERROR', 0],
  [429, '', 'throttled', 'RATE_LIMITED', 1000],
])('REST %i %s is %s', (status, text, kind, code, retryAfterMs) => {
  expect(failureOf(restError(status, text, null))).toMatchObject({ kind, code, retryAfterMs });
});

test('what the service says about when to come again is believed', () => {
  expect(failureOf(restError(503, '', '7'))).toMatchObject({ retryAfterMs: 7000 });
});

test.each([
  [3, null, 'AppendRows request too large: 11534336 limit 10485760', 'too-large', 'TOO_LARGE'],
  [3, 'STREAM_FINALIZED', 'Stream has been finalized', 'fenced', 'STREAM_FINALIZED'],
  [3, 'SCHEMA_MISMATCH_EXTRA_FIELDS', 'extra', 'transient', 'SCHEMA_NOT_SEEN_YET'],
  [3, null, 'malformed', 'transient', 'INVALID_ARGUMENT'],
  [5, 'TABLE_NOT_FOUND', 'Requested entity was not found', 'transient', 'TABLE_NOT_FOUND'],
  [5, 'STREAM_NOT_FOUND', 'Requested entity was not found', 'fenced', 'STREAM_NOT_FOUND'],
  [7, null, 'denied', 'auth', 'ACCESS_DENIED'],
  [8, null, "Exceeds 'AppendRows throughput' quota", 'throttled', 'RESOURCE_EXHAUSTED'],
  [8, null, 'Quota exceeded: bytes per day', 'throttled', 'QUOTA_EXCEEDED'],
  [10, null, 'Closing the stream because it has been inactive for 600 seconds', 'transient', 'ABORTED'],
  [12, null, 'unimplemented', 'fatal', 'UNIMPLEMENTED'],
  [14, null, 'throttled: Task is overloaded (memory-protection)', 'throttled', 'OVERLOADED'],
  [14, null, 'connection reset', 'transient', 'UNAVAILABLE'],
  [16, null, 'no token', 'auth', 'UNAUTHENTICATED'],
] as const)('gRPC %i with %s: %s is %s', (grpcCode, storage, message, kind, code) => {
  expect(failureOf(new WriteError(grpcCode, storage, message))).toMatchObject({ kind, code });
});

test('the code of a StorageError is read from wherever it comes', () => {
  const error = Buffer.from([0x08, 6, 0x12, 1, 0x74, 0x1a, 2, 0x68, 0x69]);
  const url = Buffer.from('type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError');
  const detail = Buffer.concat([Buffer.from([0x0a, url.length]), url, Buffer.from([0x12, error.length]), error]);
  const status = Buffer.concat([Buffer.from([0x08, 3, 0x12, 0, 0x1a, detail.length]), detail]);
  expect(storageCodeOf(error)).toBe('STREAM_FINALIZED');
  expect(storageCodeOfStatus(status)).toBe('STREAM_FINALIZED');
  expect(storageCodeOfDetails([{ type_url: url.toString(), value: error }])).toBe('STREAM_FINALIZED');
  const metadata = { get: (key: string) => (key.endsWith('storageerror-bin') ? [error] : []) };
  expect(writeErrorOf({ code: 3, details: 'done', metadata })).toMatchObject({
    storage: 'STREAM_FINALIZED',
    sinkKind: 'fenced',
  });
  expect(writeErrorOf(new Error('anything'))).toMatchObject({ sinkKind: 'transient', code: 'UNKNOWN' });
  const wordless = Object.assign(new Error('5 NOT_FOUND: '), { code: 5, details: '' });
  expect(writeErrorOf(wordless)).toMatchObject({ code: 'TABLE_NOT_FOUND', message: '5 NOT_FOUND:' });
});
