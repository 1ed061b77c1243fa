import type { SinkErrorKind } from '../../runtime/contract.ts';
import { SinkError } from '../../runtime/sink-error.ts';

/**
 * What the REST API's answers mean (cloud.google.com/bigquery/docs/error-messages, .../troubleshoot-quotas). The reason
 * counts before the status: one status has several meanings.
 */

/** A quota of a day comes back at its reset; asking more often than this burns others. */
export const QUOTA_WAIT_MS = 10 * 60_000;
/** A table that is not there comes back when a person makes it, or a minute after it was made. */
export const MISSING_WAIT_MS = 20_000;

const REASONS: Record<string, [kind: SinkErrorKind, code: string, waitMs?: number]> = {
  quotaExceeded: ['throttled', 'QUOTA_EXCEEDED', QUOTA_WAIT_MS],
  rateLimitExceeded: ['throttled', 'RATE_LIMITED', 1000],
  jobRateLimitExceeded: ['throttled', 'RATE_LIMITED', 1000],
  backendError: ['transient', 'BACKEND_ERROR'],
  internalError: ['transient', 'BACKEND_ERROR'],
  jobBackendError: ['transient', 'BACKEND_ERROR'],
  jobInternalError: ['transient', 'BACKEND_ERROR'],
  tableUnavailable: ['transient', 'TABLE_UNAVAILABLE'],
  timeout: ['transient', 'TIMEOUT'],
  notFound: ['transient', 'TABLE_NOT_FOUND', MISSING_WAIT_MS],
  accessDenied: ['auth', 'ACCESS_DENIED'],
  forbidden: ['auth', 'ACCESS_DENIED'],
  authError: ['auth', 'UNAUTHENTICATED'],
  billingNotEnabled: ['auth', 'BILLING_NOT_ENABLED', 60_000],
  billingTierLimitExceeded: ['auth', 'BILLING_NOT_ENABLED', 60_000],
  blocked: ['auth', 'BLOCKED', 60_000],
};

export interface RestErrorBody {
  error?: { code?: number; message?: string; status?: string; errors?: { reason?: string; message?: string }[] };
}

/** An HTTP answer that is no success. `status` stays readable: 404, 409 and 412 are expected here and there. */
export class RestError extends SinkError {
  readonly status: number;

  constructor(status: number, kind: SinkErrorKind, code: string, message: string, retryAfterMs?: number) {
    super(kind, code, message, retryAfterMs === undefined ? {} : { retryAfterMs });
    this.status = status;
  }
}

/** For errors that only a person understands: tried again a bounded number of times. */
export class UnknownAnswer extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export function restError(status: number, text: string, retryAfter: string | null): Error {
  const { message, reason } = read(text);
  const said = message ?? `BigQuery answered with status ${status}`;
  const wait = retryAfter !== null && /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1000 : undefined;
  if (status === 413 || /request payload size exceeds|too many rows present|request too large/i.test(said)) {
    return new RestError(status, 'too-large', 'TOO_LARGE', said);
  }
  const known = REASONS[reason];
  if (known) return new RestError(status, known[0], known[1], said, wait ?? known[2]);
  if (status === 401) return new RestError(status, 'auth', 'UNAUTHENTICATED', said, wait);
  if (status === 403) return new RestError(status, 'auth', 'ACCESS_DENIED', said, wait);
  if (status === 404) return new RestError(status, 'transient', 'TABLE_NOT_FOUND', said, wait ?? MISSING_WAIT_MS);
  if (status === 429) return new RestError(status, 'throttled', 'RATE_LIMITED', said, wait ?? 1000);
  if (status === 408 || status >= 500) return new RestError(status, 'transient', 'BACKEND_ERROR', said, wait);
  if (status === 409 || status === 412) return new RestError(status, 'transient', codeOf(reason, status), said);
  if (/Could not serialize access|has no schema/i.test(said)) {
    return new RestError(status, 'transient', 'TABLE_NOT_READY', said, wait ?? 5000);
  }
  return new UnknownAnswer(codeOf(reason, status), said);
}

/** JSON as BigQuery gives it, HTML as its front ends do. */
function read(text: string): { message: string | undefined; reason: string } {
  try {
    const { error } = JSON.parse(text) as RestErrorBody;
    return { message: error?.message ?? error?.errors?.[0]?.message, reason: error?.errors?.[0]?.reason ?? '' };
  } catch {
    return { message: undefined, reason: '' };
  }
}

/** invalidQuery -> INVALID_QUERY. */
export const codeOf = (reason: string, status = 0): string =>
  reason === '' ? `HTTP_${status}` : reason.replace(/([a-z])([A-Z])/g, '$1_$2').toUpperCase();
