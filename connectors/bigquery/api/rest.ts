import { asMillstreamError } from '../../../core/base/errors.ts';
import { SinkError } from '../../runtime/sink-error.ts';
import type { Credentials } from './credentials.ts';
import { restError } from './rest-errors.ts';

/** How long an answer may take: insertAll of ten megabytes through a slow line included. */
const TIMEOUT_MS = 90_000;

export interface RestRequest {
  method: 'GET' | 'POST' | 'PATCH';
  /** Below /bigquery/v2/projects/PROJECT/. */
  path: string;
  /** JSON text. */
  body?: string;
  /** The change is made only to this version of what is changed. */
  etag?: string;
  signal?: AbortSignal;
}

/** BigQuery's REST API, v2. Nothing is tried again here: the runtime does that, once for all. */
export class Rest {
  private readonly base: string;
  private readonly credentials: Credentials;

  constructor(endpoint: string, project: string, credentials: Credentials) {
    this.base = `${endpoint.replace(/\/+$/, '')}/bigquery/v2/projects/${encodeURIComponent(project)}/`;
    this.credentials = credentials;
  }

  /** The answer's JSON. Throws RestError or another SinkError; UnknownAnswer for what has no name. */
  async call<T>({ method, path, body, etag, signal }: RestRequest): Promise<T> {
    const headers: Record<string, string> = Object.fromEntries(await this.credentials.headers());
    if (body !== undefined) headers['content-type'] = 'application/json';
    if (etag !== undefined) headers['if-match'] = etag;
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    let status: number;
    let text: string;
    let retryAfter: string | null;
    try {
      const response = await fetch(this.base + path, {
        method,
        headers,
        body: body ?? null,
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
      status = response.status;
      retryAfter = response.headers.get('retry-after');
      text = await response.text();
    } catch (thrown) {
      throw unreachable(thrown);
    }
    if (status === 401) this.credentials.refused();
    if (status >= 300) throw restError(status, text, retryAfter);
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw new SinkError('transient', 'BAD_ANSWER', 'BigQuery answered with something that is no JSON', { cause });
    }
  }
}

function unreachable(thrown: unknown): SinkError {
  const { cause } = thrown as { cause?: unknown };
  const system = (cause as { code?: unknown } | undefined)?.code;
  const message = cause instanceof Error ? cause.message : asMillstreamError(thrown).message;
  const code = typeof system === 'string' && /^[A-Z_]+$/.test(system) ? system : 'UNREACHABLE';
  return new SinkError('transient', code, `BigQuery cannot be reached: ${message}`, { cause: thrown });
}
