/** The error envelope of the BigQuery REST API. Source: GCP "Error messages", and connectors' own tables. */
import { ApiError } from '../model/api-error.ts';

/** Each reason's HTTP status and canonical status. The canonical ones beside 403 and 400 are our reading. */
const STATUS: Record<string, [http: number, canonical: string]> = {
  invalid: [400, 'INVALID_ARGUMENT'],
  badRequest: [400, 'INVALID_ARGUMENT'],
  invalidQuery: [400, 'INVALID_ARGUMENT'],
  resourceInUse: [400, 'FAILED_PRECONDITION'],
  jobBackendError: [400, 'UNAVAILABLE'],
  jobInternalError: [400, 'INTERNAL'],
  authError: [401, 'UNAUTHENTICATED'],
  accessDenied: [403, 'PERMISSION_DENIED'],
  rateLimitExceeded: [403, 'PERMISSION_DENIED'],
  quotaExceeded: [403, 'PERMISSION_DENIED'],
  billingTierLimitExceeded: [400, 'INVALID_ARGUMENT'],
  responseTooLarge: [403, 'PERMISSION_DENIED'],
  notFound: [404, 'NOT_FOUND'],
  duplicate: [409, 'ALREADY_EXISTS'],
  conditionNotMet: [412, 'FAILED_PRECONDITION'],
  internalError: [500, 'INTERNAL'],
  notImplemented: [501, 'UNIMPLEMENTED'],
  badGateway: [502, 'UNAVAILABLE'],
  backendError: [503, 'UNAVAILABLE'],
};

export interface Answer {
  readonly status: number;
  /** Sent as JSON, or as it is when `type` says what it is; null: no body. */
  readonly body: object | string | null;
  readonly type?: string;
}

export function errorAnswer(error: ApiError): Answer {
  const [http, canonical] = STATUS[error.reason] ?? [500, 'INTERNAL'];
  const status = error.status ?? http;
  const detail = {
    message: error.message,
    domain: 'global',
    reason: error.reason,
    ...(error.location === null ? {} : { location: error.location }),
  };
  return { status, body: { error: { code: status, message: error.message, errors: [detail], status: canonical } } };
}

/** Google's front end, not BigQuery, refuses a body over the limit: with HTML. */
export const payloadTooLarge: Answer = {
  status: 413,
  type: 'text/html; charset=UTF-8',
  body:
    '<!DOCTYPE html><html lang=en><title>Error 413 (Request Entity Too Large)!!1</title>' +
    '<p><b>413.</b> <ins>That’s an error.</ins><p>Your client issued a request that is too large.</html>\n',
};
