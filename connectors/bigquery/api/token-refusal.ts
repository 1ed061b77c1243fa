import { SinkError } from '../../runtime/sink-error.ts';
import type { BigQueryConfig } from '../config.ts';

/*
 * What it means that there is no token. Three kinds of servers answer: the token endpoint with RFC 6749 section 5.2's
 * { error, error_description }, the IAM Credentials API with Google's { error: { code, status, message } }, the metadata
 * server with text. The library wraps them in sentences of its own; what counts is what the server said.
 */

/** Kind `auth` when somebody has said no, or nobody can be asked before a person has helped; else `transient`. */
export function refusal(thrown: unknown, auth: BigQueryConfig['auth']): SinkError {
  const said = `no token ${whence(thrown, auth)}: ${saidBy(thrown)}`;
  if (!isFinal(thrown)) return new SinkError('transient', 'CREDENTIALS_UNREACHABLE', said, { cause: thrown });
  return new SinkError('auth', 'NO_CREDENTIALS', said, { cause: thrown, retryAfterMs: 5000 });
}

const UNREACHABLE = /ECONN|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|socket hang up|timeout/i;

/** False when asking the same again, and nothing else, may help. */
export function isFinal(thrown: unknown): boolean {
  const status = responseOf(thrown)?.status;
  if (typeof status === 'number') return status < 500 && status !== 429;
  return !UNREACHABLE.test(messageOf(thrown));
}

interface Answer {
  status?: unknown;
  data?: unknown;
}

/** Of the library's HTTP client (gaxios). */
function responseOf(thrown: unknown): Answer | undefined {
  return (thrown as { response?: Answer } | null)?.response;
}

const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

function whence(thrown: unknown, { method, impersonate }: BigQueryConfig['auth']): string {
  const url = (thrown as { config?: { url?: unknown } } | null)?.config?.url;
  const isImpersonation = url instanceof URL && url.pathname.endsWith(':generateAccessToken');
  if (impersonate !== undefined && isImpersonation) return `to act as ${impersonate}`;
  switch (method) {
    case 'service_account':
      return 'for the service account';
    case 'application_default':
      return 'by application default credentials';
    case 'metadata_server':
      return 'from the metadata server';
  }
}

function saidBy(thrown: unknown): string {
  const data = parsed(responseOf(thrown)?.data);
  const { error, error_description: description } = (data ?? {}) as { error?: unknown; error_description?: unknown };
  if (typeof error === 'string') {
    return typeof description === 'string' && description !== error ? `${description} (${error})` : error;
  }
  const { message, status } = (error ?? {}) as { message?: unknown; status?: unknown };
  if (typeof message === 'string') return typeof status === 'string' ? `${message} (${status})` : message;
  return messageOf(thrown);
}

/** The metadata server's errors come as text, and some of them are JSON all the same. */
function parsed(data: unknown): unknown {
  if (typeof data !== 'string') return data;
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}
