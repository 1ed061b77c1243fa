import type { FastifyInstance } from 'fastify';
import { MillstreamError } from '../../../core/base/errors.ts';
import { sendProblem } from './problem.ts';

/**
 * What is asked for and not there: 404, or 405 with `Allow` when the path takes other methods; OPTIONS is answered with
 * `Allow`. To be called before the routes are added.
 */
export function answerOtherMethods(app: FastifyInstance): void {
  const methods = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? new Set(['OPTIONS']);
    for (const each of [method].flat()) known.add(each);
    methods.set(url, known);
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    const allowed = [...methods].find(([pattern]) => matches(pattern, path))?.[1];
    if (!allowed) {
      const message = `there is nothing at ${request.method} ${path.slice(0, 200)}`;
      return sendProblem(reply, new MillstreamError('invalid', 'NOT_FOUND', message));
    }
    reply.header('allow', [...allowed].toSorted().join(', '));
    if (request.method === 'OPTIONS') return reply.code(204).send();
    const message = `${path} takes ${[...allowed].toSorted().join(', ')}, not ${request.method}`;
    return sendProblem(reply, new MillstreamError('invalid', 'METHOD_NOT_ALLOWED', message));
  });
}

/** `/api/v1/topics/:name/records` and a path of as many parts. */
function matches(pattern: string, path: string): boolean {
  const wanted = pattern.split('/');
  const given = path.split('/');
  return wanted.length === given.length && wanted.every((part, i) => part === given[i] || part.startsWith(':'));
}
