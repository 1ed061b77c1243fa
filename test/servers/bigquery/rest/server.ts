/** The REST side: sockets, bodies, routes, faults. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzip } from 'node:zlib';
import { promisify } from 'node:util';
import { ApiError } from '../model/api-error.ts';
import { controlRoutes } from './control.ts';
import type { Fake, Request, Route } from './context.ts';
import { datasetRoutes } from './datasets.ts';
import { type Answer, errorAnswer } from './errors.ts';
import { insertAllRoute } from './insert-all.ts';
import { parseJson } from './json.ts';
import { queryRoutes } from './queries.ts';
import { tableRoutes } from './tables.ts';
import { disturbTable } from '../disturb.ts';

const unzip = promisify(gunzip);

interface Compiled {
  readonly route: Route;
  readonly pattern: RegExp;
}

const compile = (route: Route, prefix: string): Compiled => ({
  route,
  pattern: new RegExp(`^${prefix}${route.path.replace(/:(\w+)/g, '(?<$1>[^/]+)')}/?$`),
});
/** With BIGQUERY_EMULATOR_HOST the official client leaves the base path out. */
const ROUTES: Compiled[] = [
  ...[...datasetRoutes, ...tableRoutes, insertAllRoute, ...queryRoutes].map(route =>
    compile(route, '(?:/bigquery/v2)?/projects/'),
  ),
  ...controlRoutes.map(route => compile(route, '/__')),
];

export async function startRest(
  fake: Fake,
  port: number,
): Promise<{ server: Server; port: number; close(): Promise<void> }> {
  const server = createServer((message, response) => void serve(fake, message, response));
  server.keepAliveTimeout = 60_000;
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    server,
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function serve(fake: Fake, message: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const answer = await answerTo(fake, message);
    if (answer === 'kill') message.socket.destroy();
    else if (answer !== 'silence') send(response, answer);
  } catch (error) {
    if (message.socket.destroyed) return;
    send(
      response,
      error instanceof ApiError ? errorAnswer(error) : errorAnswer(new ApiError('internalError', String(error))),
    );
  }
}

function send(response: ServerResponse, answer: Answer): void {
  if (answer.body === null) {
    response.writeHead(answer.status).end();
    return;
  }
  const text = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
  response.writeHead(answer.status, { 'content-type': answer.type ?? 'application/json; charset=UTF-8' }).end(text);
}

async function answerTo(fake: Fake, message: IncomingMessage): Promise<Answer | 'kill' | 'silence'> {
  const url = new URL(message.url ?? '/', 'http://localhost');
  const body = await readBody(message);
  const found = ROUTES.find(({ route, pattern }) => route.verb === message.method && pattern.test(url.pathname));
  if (!found) throw new ApiError('notFound', `Not Found: ${message.method} ${url.pathname}`);
  const at = Object.fromEntries(
    Object.entries(found.pattern.exec(url.pathname)?.groups ?? {}).map(([key, value]) => [
      key,
      decodeURIComponent(value),
    ]),
  );
  // A body over the limit is refused for its size, whatever stands in it.
  const tooLarge = found.route.name === 'insertAll' && body.length > fake.options.insertAllLimitBytes;
  const request: Request = {
    fake,
    at,
    query: url.searchParams,
    headers: message.headers,
    body: tooLarge ? {} : parseJson(body.toString('utf8')),
    bodyBytes: body.length,
  };
  if (found.route.name.startsWith('__'))
    return found.route.handle(request, { number: 0, at: 0, method: '', table: '', outcome: '', applied: false });
  return run(found.route, request);
}

async function readBody(message: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of message) parts.push(part as Buffer);
  const raw = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  return message.headers['content-encoding'] === 'gzip' ? unzip(raw) : raw;
}

async function run(route: Route, request: Request): Promise<Answer | 'kill' | 'silence'> {
  const { fake, at } = request;
  const table =
    [at['project'], at['dataset']].filter(Boolean).join(':') + (at['table'] === undefined ? '' : `.${at['table']}`);
  const call = { method: route.name, table, ...route.describe?.(request) };
  const entry = fake.journal.open(call);
  const actions = fake.faults.match(call);
  if (actions.length > 0) entry.fault = actions.map(action => action.kind).join(',');
  for (const action of actions) {
    if (action.kind === 'delay') await fake.faults.wait(action.ms);
    else if (action.kind === 'kill' && action.when === 'before') {
      entry.outcome = 'killed';
      return 'kill';
    } else if (action.kind === 'rest-error') {
      entry.outcome = action.reason;
      throw new ApiError(action.reason, action.message, action.status === undefined ? {} : { status: action.status });
    } else if (action.kind === 'http') {
      entry.outcome = `http ${action.status}`;
      return { status: action.status, body: action.body, type: action.type ?? 'text/html; charset=UTF-8' };
    } else disturbTable(fake, call.table, action);
  }
  let answer: Answer;
  try {
    checkToken(request);
    answer = await route.handle(request, entry);
    if (entry.outcome === 'pending') entry.outcome = answer.status < 400 ? 'ok' : `http ${answer.status}`;
  } catch (error) {
    entry.outcome = error instanceof ApiError ? error.reason : 'internalError';
    throw error;
  }
  const hidden = actions.find(
    action => action.kind === 'drop-ack' || (action.kind === 'kill' && action.when === 'after'),
  );
  if (!hidden) return answer;
  entry.outcome = `hidden:${entry.outcome}`;
  return hidden.kind === 'kill' ? 'kill' : 'silence';
}

function checkToken({ fake, headers }: Request): void {
  const { acceptToken } = fake.options;
  if (acceptToken === null) return;
  const token = /^Bearer (.+)$/.exec(String(headers['authorization'] ?? ''))?.[1];
  if (token !== undefined && acceptToken(token)) return;
  throw new ApiError(
    'authError',
    'Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.',
  );
}
