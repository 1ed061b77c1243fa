/**
 * The ways to credentials, end to end: the container's process as it is, with Google's own hosts in its requests. The
 * proxy that it is told of leads to the token endpoints and the BigQuery of the test (google-front.ts).
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTokenServer, type TokenServer } from '../../servers/bigquery/auth/token-server.ts';
import { type BigQueryFake, start as startBigQuery } from '../../servers/bigquery/start.ts';
import { startGoogleFront } from '../../servers/google-front.ts';
import { Millstream } from '../../servers/millstream.ts';
import { eventually } from '../../servers/process.ts';
import { Subscriber } from '../../servers/subscriber.ts';
import { requireTool } from '../../servers/tools.ts';
import { Wire } from '../../servers/wire.ts';
import { encodeBatch } from '../../servers/wire-batch.ts';

const OWNER = 'owner@p.iam.gserviceaccount.com';
const WRITER = 'writer@p.iam.gserviceaccount.com';
/** Google's library asks for another token five minutes before the end of one: so these last for two seconds. */
const LIFETIME_MS = 302_000;
const FRESH_MS = 2000;

interface Way {
  name: string;
  /** Whom BigQuery must see. */
  principal: string;
  /** Endpoint of the token server that gives out a token for each of `principal`'s. */
  counted: string;
  env(files: { key: string; user: string }, tokens: TokenServer): Record<string, string>;
  config?: string;
  /** What a person is told when the token is refused. */
  refuse(tokens: TokenServer): void;
  says: RegExp;
}

const refuseGrant =
  (description: string) =>
  (tokens: TokenServer): void =>
    tokens.fail({ kind: 'status', status: 400, error: 'invalid_grant', description });

const WAYS: Way[] = [
  {
    name: 'the key file of a service account',
    principal: WRITER,
    counted: 'jwt',
    env: ({ key }) => ({ AUTH_METHOD: 'service_account', GOOGLE_APPLICATION_CREDENTIALS: key }),
    refuse: refuseGrant('Invalid JWT Signature.'),
    says: /^no token for the service account: Invalid JWT Signature\. \(invalid_grant\) \(/,
  },
  {
    name: "application default credentials: a user's file",
    principal: 'user',
    counted: 'refresh',
    env: ({ user }) => ({ GOOGLE_APPLICATION_CREDENTIALS: user }),
    refuse: refuseGrant('Token has been expired or revoked.'),
    says: /^no token by application default credentials: Token has been expired or revoked\. \(invalid_grant\) \(/,
  },
  {
    name: 'the metadata server of a virtual machine',
    principal: WRITER,
    counted: 'metadata',
    env: (_, tokens) => ({ AUTH_METHOD: 'metadata_server', GCE_METADATA_HOST: tokens.host }),
    refuse: tokens => tokens.fail({ kind: 'status', status: 403, error: 'not_allowed' }),
    says: /^no token from the metadata server: not_allowed \(/,
  },
  {
    name: 'a service account that acts as another one',
    principal: OWNER,
    counted: 'impersonate',
    env: ({ key }) => ({ AUTH_METHOD: 'service_account', GOOGLE_APPLICATION_CREDENTIALS: key }),
    config: `[auth]\nimpersonate = "${OWNER}"\n`,
    refuse(tokens) {
      tokens.impersonable = [];
    },
    says: /^no token to act as owner@p\.iam\.\S+: Permission 'iam\.\S+' denied on resource .*\. \(PERMISSION_DENIED\) \(/,
  },
];

describe.skipIf(requireTool('openssl') === null)('credentials', () => {
  let broker: Millstream;
  let wire: Wire;
  const folder = mkdtempSync(join(tmpdir(), 'credentials-'));
  beforeAll(async () => {
    broker = await Millstream.start();
    wire = await Wire.connect(broker.bootstrap);
  }, 120_000);
  afterAll(async () => {
    wire?.close();
    await broker?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  let topics = 0;
  async function world(
    way: Way,
    open: { close(): Promise<void> }[],
  ): Promise<{
    tokens: TokenServer;
    bigquery: BigQueryFake;
    subscriber: Subscriber;
    seen: Set<string | null>;
    produce: (n: number) => Promise<void>;
    rows: () => Promise<number>;
  }> {
    const tokens = await startTokenServer({ lifetimeMs: LIFETIME_MS, email: WRITER });
    open.push(tokens);
    const seen = new Set<string | null>();
    const bigquery = await startBigQuery({
      project: 'p',
      datasets: ['d'],
      acceptToken(token) {
        const principal = tokens.principalOf(token);
        if (token !== 'of-the-test') seen.add(principal);
        return token === 'of-the-test' || principal === way.principal;
      },
    });
    open.push(bigquery);
    const front = await startGoogleFront({
      'oauth2.googleapis.com': tokens.host,
      'iamcredentials.googleapis.com': tokens.host,
      'bigquery.googleapis.com': `127.0.0.1:${bigquery.restPort}`,
      'bigquerystorage.googleapis.com': bigquery.grpcAddress,
    });
    open.push(front);
    const topic = `credentials-${(topics += 1)}`;
    await wire.createTopic(topic, 1);
    await makeTable(bigquery);
    const files = { key: join(folder, `${topic}.key.json`), user: join(folder, `${topic}.user.json`) };
    writeFileSync(files.key, JSON.stringify(tokens.keyFile));
    writeFileSync(files.user, JSON.stringify(tokens.userFile));
    const config = join(folder, `${topic}.toml`);
    writeFileSync(config, way.config ?? '');
    const subscriber = await Subscriber.prepare({
      GCP_PROJECT_ID: 'p',
      BIGQUERY_DATASET: 'd',
      BIGQUERY_TABLE: 't',
      MILLSTREAM_TOPIC: topic,
      MILLSTREAM_BROKERS: broker.bootstrap,
      WRITE_METHOD: 'storage_write_api',
      MAX_BATCH_LATENCY_MS: '20',
      CONFIG_FILE: config,
      ...front.env,
      ...way.env(files, tokens),
    });
    open.push({ close: () => subscriber.remove() });
    return {
      tokens,
      bigquery,
      subscriber,
      seen,
      async produce(n) {
        const { error } = await wire.produce(topic, 0, encodeBatch({ values: [Buffer.from(JSON.stringify({ n }))] }));
        expect(error).toBe(0);
      },
      rows: async () => (await bigquery.sql('SELECT n FROM d.t')).length,
    };
  }

  async function makeTable(bigquery: BigQueryFake): Promise<void> {
    const answer = await fetch(`${bigquery.restUrl}/bigquery/v2/projects/p/datasets/d/tables`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer of-the-test' },
      body: JSON.stringify({
        tableReference: { projectId: 'p', datasetId: 'd', tableId: 't' },
        schema: { fields: [{ name: 'n', type: 'INTEGER' }] },
      }),
    });
    expect(answer.status).toBe(200);
  }

  function permit(tokens: TokenServer): void {
    tokens.heal();
    tokens.impersonable = [OWNER];
  }

  /** The next append finds its connection broken and opens another. */
  function breakStream({ faults }: BigQueryFake): void {
    faults.add({ method: 'AppendRows', action: { kind: 'kill', when: 'before' } });
  }

  // Most of it is waiting for the next attempt.
  test.concurrent.for(WAYS)('$name', { timeout: 240_000 }, async (way, { onTestFinished }) => {
    const open: { close(): Promise<void> }[] = [];
    onTestFinished(async () => {
      for (const one of open.toReversed()) await one.close();
    });
    const { tokens, bigquery, subscriber, seen, produce, rows } = await world(way, open);
    const written = (count: number): Promise<boolean> =>
      eventually(`row ${count}`, async () => (await rows()) === count || undefined, 60_000);
    let reason = '';
    const degraded = (): Promise<boolean> =>
      eventually(
        'the reason',
        async () => {
          const { body } = await subscriber.health();
          if (body['status'] !== 'degraded') return undefined;
          reason = String(body['reason']);
          return way.says.test(reason) || undefined;
        },
        60_000,
      ).catch(() => Promise.reject(new Error(`it says: ${reason}`)));
    // Refused at first: one sentence says why, and the sink waits.
    way.refuse(tokens);
    await produce(1);
    await subscriber.start();
    await degraded();
    expect(subscriber.output).not.toMatch(/\n +at |security risk|deprecated/);
    permit(tokens);

    // A token for REST (the table) and gRPC (the stream), both of the one who is to be seen.
    await written(1);
    const methods = new Set(bigquery.journal.list().map(({ method }) => method));
    expect([...methods]).toEqual(expect.arrayContaining(['tables.get', 'CreateWriteStream', 'AppendRows']));
    expect([...seen]).toEqual([way.principal]);

    // It is renewed before it ends: no request is refused.
    const before = tokens.counts[way.counted] ?? 0;
    tokens.lifetimeMs = 3_600_000;
    await new Promise(resolve => setTimeout(resolve, FRESH_MS + 200));
    breakStream(bigquery);
    await produce(2);
    await written(2);
    const renewed = tokens.counts[way.counted] ?? 0;
    expect(renewed).toBeGreaterThan(before);
    expect([...seen]).toEqual([way.principal]);

    // Revoked before its time it is replaced, also where only gRPC is told so.
    tokens.revoke();
    breakStream(bigquery);
    await produce(3);
    await written(3);
    expect([...seen]).toEqual([way.principal, null]);
    expect(tokens.counts[way.counted]).toBeGreaterThan(renewed);

    // Refused now, it is gRPC that asks for it, and the sentence is the same.
    way.refuse(tokens);
    tokens.revoke();
    breakStream(bigquery);
    await produce(4);
    await degraded();
    permit(tokens);
    await written(4);
    expect(await subscriber.end('SIGTERM')).toBe(0);
  });
});
