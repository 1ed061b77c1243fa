/**
 * Google's token endpoint and the metadata server of a virtual machine, on loopback, for the three ways to credentials:
 * - service_account and application_default with a key file: a JWT signed with the key is exchanged (RFC 7523);
 * - application_default with a user's file: a refresh token is exchanged (RFC 6749 section 6);
 * - metadata_server: GET with `Metadata-Flavor: Google` (GCE_METADATA_HOST points there);
 * - impersonation: a token of the caller is exchanged for one of another service account (IAM Credentials API,
 *   projects.serviceAccounts.generateAccessToken). Only those in `impersonable` may be acted as.
 * Tokens go bad after their time by the clock that is handed in; `accepts` is what the fake asks.
 */
import { createVerify, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Clock, sleep, systemClock } from '../../../../core/base/clock.ts';

const CLOUD_SCOPE = 'https://www.googleapis.com/auth/cloud-platform';

/** How the next answers fail; `times` of them, or all. */
export type Failure =
  | { kind: 'status'; status: number; error: string; description?: string; times?: number }
  | { kind: 'slow'; ms: number; times?: number }
  /** Tokens that are given out have been bad from the start. */
  | { kind: 'expired'; times?: number }
  /** The connection is broken. */
  | { kind: 'broken'; times?: number };

export interface TokenServer {
  readonly url: string;
  /** `host:port`, for GCE_METADATA_HOST. */
  readonly host: string;
  /** A service account's key file, whose `token_uri` is this server. */
  readonly keyFile: Record<string, string>;
  /** A user's credential file, as `gcloud auth application-default login` writes it. */
  readonly userFile: Record<string, string>;
  /** Of the tokens to come. */
  lifetimeMs: number;
  /** Service accounts that whoever has a token may act as. */
  impersonable: readonly string[];
  /** Whether a token has been given out here and is good now. */
  readonly accepts: (token: string) => boolean;
  /** Whom a token speaks for: the service account's e-mail address, or "user"; null when it is not good now. */
  readonly principalOf: (token: string) => string | null;
  /** Requests so far: `jwt`, `refresh`, `metadata`, `impersonate`, `refused`. */
  readonly counts: Record<string, number>;
  fail(failure: Failure): void;
  heal(): void;
  /** Makes all tokens bad that are out. */
  revoke(): void;
  close(): Promise<void>;
}

export interface TokenServerOptions {
  clock: Clock;
  port: number;
  lifetimeMs: number;
  project: string;
  email: string;
}

interface Token {
  until: number;
  principal: string;
  scope: string;
}

export async function startTokenServer(given: Partial<TokenServerOptions> = {}): Promise<TokenServer> {
  const options = {
    clock: systemClock,
    port: 0,
    lifetimeMs: 3_600_000,
    project: 'p',
    email: 'writer@p.iam.gserviceaccount.com',
    ...given,
  };
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const tokens = new Map<string, Token>();
  const counts: Record<string, number> = { jwt: 0, refresh: 0, metadata: 0, impersonate: 0, refused: 0 };
  const good = (token: string): Token | null => {
    const known = tokens.get(token);
    return known && known.until > options.clock.now() ? known : null;
  };
  let failure: Failure | null = null;
  let hits = 0;
  let issued = 0;

  const issue = (active: Failure | null, principal: string, scope = CLOUD_SCOPE): Record<string, unknown> => {
    const token = `token-${++issued}`;
    const lifetime = active?.kind === 'expired' ? 0 : server.lifetimeMs;
    tokens.set(token, { until: options.clock.now() + lifetime, principal, scope });
    return { access_token: token, expires_in: Math.floor(server.lifetimeMs / 1000), token_type: 'Bearer' };
  };

  async function serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of message) parts.push(part as Buffer);
    const { pathname } = new URL(message.url ?? '/', url);
    const active = failure;
    if (active?.times !== undefined && ++hits >= active.times) failure = null;
    if (active?.kind === 'slow') await sleep(options.clock, active.ms);
    if (active?.kind === 'broken') return void message.socket.destroy();
    if (active?.kind === 'status') {
      counts['refused'] = (counts['refused'] ?? 0) + 1;
      return send(response, active.status, {
        error: active.error,
        error_description: active.description ?? active.error,
      });
    }
    const body = Buffer.concat(parts).toString();
    const actAs = /^\/v1\/projects\/-\/serviceAccounts\/([^/:]+):generateAccessToken$/.exec(pathname)?.[1];
    if (message.method === 'POST' && pathname === '/token') tokenEndpoint(body, response, active);
    else if (message.method === 'POST' && actAs !== undefined) impersonate(message, actAs, body, response, active);
    else if (pathname.startsWith('/computeMetadata/v1')) metadata(message, pathname, response, active);
    else send(response, 404, { error: 'not_found' });
  }

  function tokenEndpoint(body: string, response: ServerResponse, active: Failure | null): void {
    const form = new URLSearchParams(
      body.startsWith('{') ? Object.entries(JSON.parse(body) as Record<string, string>) : body,
    );
    const grant = form.get('grant_type');
    let problem = 'unsupported_grant_type';
    let principal = 'user';
    let scope = CLOUD_SCOPE;
    if (grant === 'urn:ietf:params:oauth:grant-type:jwt-bearer') {
      counts['jwt'] = (counts['jwt'] ?? 0) + 1;
      principal = options.email;
      scope = scopeOf(form.get('assertion') ?? '');
      problem = checkAssertion(
        form.get('assertion') ?? '',
        keys.publicKey,
        options.email,
        [`${url}/token`, url],
        options.clock.now(),
      );
    } else if (grant === 'refresh_token') {
      counts['refresh'] = (counts['refresh'] ?? 0) + 1;
      problem = form.get('refresh_token') === userFile['refresh_token'] ? '' : 'Token has been expired or revoked.';
    }
    if (problem === '') return send(response, 200, issue(active, principal, scope));
    counts['refused'] = (counts['refused'] ?? 0) + 1;
    send(response, 400, { error: 'invalid_grant', error_description: problem });
  }

  function metadata(
    message: IncomingMessage,
    pathname: string,
    response: ServerResponse,
    active: Failure | null,
  ): void {
    response.setHeader('metadata-flavor', 'Google');
    if (message.headers['metadata-flavor'] !== 'Google')
      return send(response, 403, 'Missing Metadata-Flavor:Google header.');
    counts['metadata'] = (counts['metadata'] ?? 0) + 1;
    const path = pathname.slice('/computeMetadata/v1'.length);
    if (/^\/instance\/service-accounts\/[^/]+\/token$/.test(path))
      return send(response, 200, issue(active, options.email));
    if (/^\/instance\/service-accounts\/[^/]+\/email$/.test(path)) return send(response, 200, options.email);
    if (path === '/project/project-id') return send(response, 200, options.project);
    if (path === '/universe/universe-domain') return send(response, 200, 'googleapis.com');
    if (path === '' || path === '/' || path.startsWith('/instance')) return send(response, 200, 'computeMetadata/');
    send(response, 404, 'not found');
  }

  function impersonate(
    message: IncomingMessage,
    email: string,
    body: string,
    response: ServerResponse,
    active: Failure | null,
  ): void {
    counts['impersonate'] = (counts['impersonate'] ?? 0) + 1;
    const caller = good(/^Bearer (.+)$/.exec(message.headers.authorization ?? '')?.[1] ?? '');
    const refuse = (code: number, status: string, text: string): void => {
      counts['refused'] = (counts['refused'] ?? 0) + 1;
      send(response, code, { error: { code, status, message: text } });
    };
    if (caller === null) {
      return refuse(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.');
    }
    if (!caller.scope.split(' ').includes(CLOUD_SCOPE)) {
      return refuse(403, 'PERMISSION_DENIED', 'Request had insufficient authentication scopes.');
    }
    if (!server.impersonable.includes(decodeURIComponent(email))) {
      const permission = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).";
      return refuse(403, 'PERMISSION_DENIED', permission);
    }
    const { scope = [] } = JSON.parse(body) as { scope?: string[] };
    const { access_token: accessToken } = issue(active, decodeURIComponent(email), scope.join(' '));
    const expireTime = new Date(options.clock.now() + server.lifetimeMs).toISOString();
    send(response, 200, { accessToken, expireTime });
  }

  const http = createServer((message, response) => void serve(message, response).catch(() => message.socket.destroy()));
  http.listen(options.port, '127.0.0.1');
  await once(http, 'listening');
  const host = `127.0.0.1:${(http.address() as AddressInfo).port}`;
  const url = `http://${host}`;
  const userFile: Record<string, string> = {
    type: 'authorized_user',
    client_id: 'client.apps.googleusercontent.com',
    client_secret: 'secret',
    refresh_token: 'refresh-1',
    quota_project_id: options.project,
  };
  const server: TokenServer = {
    url,
    host,
    counts,
    lifetimeMs: options.lifetimeMs,
    impersonable: [],
    userFile,
    keyFile: {
      type: 'service_account',
      project_id: options.project,
      private_key_id: 'key-1',
      private_key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
      client_email: options.email,
      client_id: '1',
      token_uri: `${url}/token`,
    },
    accepts: token => good(token) !== null,
    principalOf: token => good(token)?.principal ?? null,
    fail: next => {
      failure = next;
      hits = 0;
    },
    heal: () => (failure = null),
    revoke: () => tokens.clear(),
    close: () =>
      new Promise(resolve => {
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  };
  return server;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = typeof body === 'string';
  response
    .writeHead(status, { 'content-type': text ? 'application/text' : 'application/json' })
    .end(text ? body : JSON.stringify(body));
}

const claimsOf = (jwt: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;

function scopeOf(jwt: string): string {
  try {
    return String(claimsOf(jwt)['scope']);
  } catch {
    return '';
  }
}

/** @returns what is wrong with a signed assertion; empty when nothing is */
function checkAssertion(jwt: string, key: KeyObject, email: string, audiences: string[], now: number): string {
  const [header = '', payload = '', signature = ''] = jwt.split('.');
  const verify = createVerify('RSA-SHA256').update(`${header}.${payload}`);
  if (!verify.verify(key, signature, 'base64url')) return 'Invalid JWT Signature.';
  const claims = claimsOf(jwt);
  if (claims['iss'] !== email) return 'Invalid grant: account not found';
  // The official libraries name Google's own endpoint whatever the key file says.
  const aud = String(claims['aud']);
  if (!audiences.includes(aud) && aud !== 'https://oauth2.googleapis.com/token')
    return 'Invalid JWT: Failed audience check.';
  const seconds = now / 1000;
  if (Number(claims['exp']) <= seconds || Number(claims['iat']) > seconds + 60) {
    return 'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.';
  }
  if (typeof claims['scope'] !== 'string' || claims['scope'] === '') return 'Empty or missing scope not allowed.';
  return '';
}
