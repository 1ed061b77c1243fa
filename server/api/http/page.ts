import { readFile } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';

/** The page at `/`: one file without a build step. */
export function pageRoutes(app: FastifyInstance): void {
  const page = new URL('./page.html', import.meta.url);
  app.get('/', async (_request, reply) => {
    reply.type('text/html; charset=utf-8').header('content-security-policy', "default-src 'self' 'unsafe-inline'");
    return readFile(page);
  });
}
