/** The three ways to credentials, by Google's own auth library, against the local endpoints; and how they fail. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BigQuery } from '@google-cloud/bigquery';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { ManualClock } from '../../connectors/manual-clock.ts';
import { startTokenServer, type TokenServer } from './auth/token-server.ts';
import { type BigQueryFake, start } from './start.ts';

const SCOPES = 'https://www.googleapis.com/auth/bigquery';
let tokens: TokenServer;
let fake: BigQueryFake;
const folder = mkdtempSync(join(tmpdir(), 'auth-'));

beforeAll(async () => {
  tokens = await startTokenServer();
  fake = await start({ datasets: ['d'], acceptToken: tokens.accepts });
});
afterAll(async () => {
  await fake.close();
  await tokens.close();
  rmSync(folder, { recursive: true });
});
afterEach(() => tokens.heal());

const ask = (token: string | null): Promise<Response> =>
  fetch(
    `${fake.restUrl}/projects/p/datasets/d`,
    token === null ? {} : { headers: { authorization: `Bearer ${token}` } },
  );

/** A signed assertion, as RFC 7523 has it; `now` in seconds. */
async function assertion(change: Record<string, unknown> = {}): Promise<string> {
  const { createSign } = await import('node:crypto');
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = {
    iss: tokens.keyFile['client_email'],
    scope: SCOPES,
    aud: `${tokens.url}/token`,
    iat: now,
    exp: now + 3600,
    ...change,
  };
  const signed = `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createSign('RSA-SHA256')
    .update(signed)
    .sign(tokens.keyFile['private_key'] ?? '', 'base64url')}`;
}

const exchange = async (form: Record<string, string>): Promise<{ status: number; body: Record<string, string> }> => {
  const response = await fetch(`${tokens.url}/token`, { method: 'POST', body: new URLSearchParams(form) });
  return { status: response.status, body: (await response.json()) as Record<string, string> };
};
const byJwt = async (change?: Record<string, unknown>) =>
  exchange({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: await assertion(change) });

test('a signed assertion is exchanged for a token that the fake takes', async () => {
  const { status, body } = await byJwt();
  expect(status).toBe(200);
  expect((await ask(body['access_token'] ?? '')).status).toBe(200);
  const refused = await ask(null);
  expect(refused.status).toBe(401);
  expect(await refused.json()).toMatchObject({ error: { code: 401, status: 'UNAUTHENTICATED' } });
  expect((await ask('made-up')).status).toBe(401);
});

test('a wrong issuer, an old assertion and a broken signature are refused', async () => {
  for (const change of [{ iss: 'someone@else' }, { exp: 1 }, { aud: 'https://elsewhere' }, { scope: '' }]) {
    expect(await byJwt(change)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
  }
  const broken = `${(await assertion()).slice(0, -8)}AAAAAAAA`;
  expect(
    await exchange({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: broken }),
  ).toMatchObject({ status: 400, body: { error_description: 'Invalid JWT Signature.' } });
});

test("a user's refresh token is exchanged", async () => {
  const form = { grant_type: 'refresh_token', refresh_token: tokens.userFile['refresh_token'] ?? '' };
  const { body } = await exchange(form);
  expect((await ask(body['access_token'] ?? '')).status).toBe(200);
  expect(await exchange({ ...form, refresh_token: 'old' })).toMatchObject({
    status: 400,
    body: { error: 'invalid_grant' },
  });
});

test('the metadata server answers those who name themselves', async () => {
  const url = `${tokens.url}/computeMetadata/v1/instance/service-accounts/default/token`;
  expect((await fetch(url)).status).toBe(403);
  const response = await fetch(url, { headers: { 'metadata-flavor': 'Google' } });
  const { access_token: token } = (await response.json()) as { access_token: string };
  expect((await ask(token)).status).toBe(200);
});

test('the official client gets its token from the metadata server', async () => {
  const before = { ...process.env };
  process.env['GCE_METADATA_HOST'] = tokens.host;
  delete process.env['METADATA_SERVER_DETECTION'];
  delete process.env['GOOGLE_APPLICATION_CREDENTIALS'];
  process.env['HOME'] = folder;
  try {
    const counted = tokens.counts['metadata'] ?? 0;
    const client = new BigQuery({
      projectId: 'p',
      apiEndpoint: fake.restUrl,
      useAuthWithCustomEndpoint: true,
    } as object);
    const [exists] = await client.dataset('d').exists();
    expect(exists).toBe(true);
    expect(tokens.counts['metadata']).toBeGreaterThan(counted);
  } finally {
    process.env = before;
  }
});

test('tokens end by the clock, and failures are scripted', async () => {
  const clock = new ManualClock(Date.now());
  const server = await startTokenServer({ clock, lifetimeMs: 60_000 });
  try {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: server.userFile['refresh_token'] ?? '',
    });
    const get = async (): Promise<{ status: number; token: string }> => {
      const response = await fetch(`${server.url}/token`, { method: 'POST', body: form });
      return {
        status: response.status,
        token: ((await response.json()) as { access_token?: string }).access_token ?? '',
      };
    };
    const { token } = await get();
    expect(server.accepts(token)).toBe(true);
    await clock.advance(60_000);
    expect(server.accepts(token)).toBe(false);

    server.fail({ kind: 'expired', times: 1 });
    expect(server.accepts((await get()).token)).toBe(false);
    expect(server.accepts((await get()).token)).toBe(true);

    server.fail({ kind: 'status', status: 401, error: 'invalid_client', times: 2 });
    expect([(await get()).status, (await get()).status, (await get()).status]).toEqual([401, 401, 200]);

    server.fail({ kind: 'broken', times: 1 });
    await expect(get()).rejects.toThrow();

    server.fail({ kind: 'slow', ms: 30_000, times: 1 });
    const slow = get();
    while (clock.pending === 0) await new Promise(resolve => setImmediate(resolve));
    await clock.advance(30_000);
    expect((await slow).status).toBe(200);
  } finally {
    await server.close();
  }
});
