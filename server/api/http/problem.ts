import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { asMillstreamError, type ErrorKind, MillstreamError } from '../../../core/base/errors.ts';

const STATUS: Record<ErrorKind, number> = {
  invalid: 400,
  unavailable: 503,
  conflict: 409,
  data: 422,
  closed: 503,
  internal: 500,
};

/** Codes that say more than their kind. */
const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  UNKNOWN_TOPIC: 404,
  UNKNOWN_PARTITION: 404,
  UNKNOWN_PIPELINE: 404,
  UNKNOWN_STEP: 404,
  UNKNOWN_MODULE: 404,
  UNKNOWN_VERSION: 404,
  MODULE_REFUSED: 422,
  MODULE_INIT_FAILED: 422,
  CONFIG_REFUSED: 422,
  NO_RECORD: 404,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  FOREIGN_ORIGIN: 403,
  INTERNAL_TOPIC: 403,
  REQUEST_TIMEOUT: 408,
  BODY_TOO_LARGE: 413,
  TOPICS_ELSEWHERE: 501,
  UNSUPPORTED_MEDIA_TYPE: 415,
  HEADERS_TOO_LARGE: 431,
};

/** The HTTP library's errors and Node's, under names of ours. */
const OURS: Readonly<Record<string, { code: string; message: string }>> = {
  FST_ERR_BAD_URL: { code: 'BAD_PATH', message: 'the path holds a % that is not followed by two hexadecimal digits' },
  FST_ERR_CTP_BODY_TOO_LARGE: { code: 'BODY_TOO_LARGE', message: 'the body is too large; send it in parts' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: 'UNSUPPORTED_MEDIA_TYPE',
    message:
      'the content-type is none; application/json, application/x-ndjson, or any type for the bytes of one record',
  },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: { code: 'BAD_LENGTH', message: 'the body is not as long as content-length says' },
  HPE_HEADER_OVERFLOW: { code: 'HEADERS_TOO_LARGE', message: 'the request line and headers take more than 16 KiB' },
  ERR_HTTP_REQUEST_TIMEOUT: { code: 'REQUEST_TIMEOUT', message: 'the request did not arrive in time' },
};

interface Problem {
  type: 'about:blank';
  title: string;
  status: number;
  detail: string;
  code: string;
  retriable: boolean;
  help?: string;
}

/** Answers an error as RFC 9457 problem+json. */
export function sendProblem(reply: FastifyReply, thrown: unknown): FastifyReply {
  const problem = problemOf(thrown);
  return reply.code(problem.status).type('application/problem+json').send(problem);
}

/** Answers bytes that are no HTTP request, or one that does not end, and hangs up. */
export function refuseUnreadable(error: Error & { code?: string }, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const ours = OURS[error.code ?? ''] ?? { code: 'BAD_REQUEST', message: 'this is no HTTP request' };
  const problem = problemOf(new MillstreamError('invalid', ours.code, ours.message));
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\nconnection: close\r\n` +
      `content-type: application/problem+json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function problemOf(thrown: unknown): Problem {
  const error = renamed(thrown);
  return {
    type: 'about:blank',
    title: error.code.toLowerCase().replaceAll('_', ' '),
    status: STATUS_OF_CODE[error.code] ?? STATUS[error.kind],
    detail: error.message,
    code: error.code,
    retriable: error.retriable,
    ...(error.help ? { help: error.help } : {}),
  };
}

/** What the library refuses (statusCode below 500) is the caller's, and no defect of ours. */
function renamed(thrown: unknown): MillstreamError {
  const { code, statusCode, message } = (thrown ?? {}) as { code?: unknown; statusCode?: unknown; message?: unknown };
  if (thrown instanceof MillstreamError || typeof statusCode !== 'number' || statusCode >= 500) {
    return asMillstreamError(thrown);
  }
  const ours = typeof code === 'string' ? OURS[code] : undefined;
  return new MillstreamError('invalid', ours?.code ?? 'BAD_REQUEST', ours?.message ?? String(message), {
    cause: thrown,
  });
}
