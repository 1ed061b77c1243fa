import type { FastifyReply } from 'fastify';
import { asMillstreamError, type ErrorKind } from '../../../core/base/errors.ts';

const STATUS: Record<ErrorKind, number> = {
  invalid: 400,
  unavailable: 503,
  conflict: 409,
  data: 422,
  closed: 503,
  internal: 500,
};

const NOT_FOUND = new Set(['UNKNOWN_TOPIC', 'UNKNOWN_PARTITION', 'UNKNOWN_PIPELINE', 'NOT_FOUND']);

/** Answers an error as RFC 9457 problem+json. */
export function sendProblem(reply: FastifyReply, thrown: unknown): FastifyReply {
  const error = asMillstreamError(thrown);
  const status = NOT_FOUND.has(error.code) ? 404 : (httpStatusOf(thrown) ?? STATUS[error.kind]);
  return reply
    .code(status)
    .type('application/problem+json')
    .send({
      type: 'about:blank',
      title: error.code.toLowerCase().replaceAll('_', ' '),
      status,
      detail: error.message,
      code: error.code,
      retriable: error.retriable,
      ...(error.help ? { help: error.help } : {}),
    });
}

/** Fastify's own errors (body too large, bad JSON) carry a status. */
function httpStatusOf(thrown: unknown): number | undefined {
  const status = (thrown as { statusCode?: unknown } | null)?.statusCode;
  return typeof status === 'number' && status >= 400 ? status : undefined;
}
