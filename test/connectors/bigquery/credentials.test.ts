import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { bigQuerySink } from '../../../connectors/bigquery/sink.ts';
import { startTokenServer, type TokenServer } from '../../servers/bigquery/auth/token-server.ts';
import { MemoryEngine } from '../memory-engine.ts';
import { record, runSink, temporaryDirectory, until } from '../support.ts';
import { type FakeTable, fakeTable } from './fake-table.ts';

let tokens: TokenServer;
let table: FakeTable;
const before = { ...process.env };

beforeAll(async () => {
  tokens = await startTokenServer();
  table = await fakeTable({ acceptToken: token => token === 'of-the-test' || tokens.accepts(token) });
  process.env['GCE_METADATA_HOST'] = tokens.host;
});
afterEach(() => tokens.heal());
afterAll(async () => {
  process.env = before;
  await table.close();
  await tokens.close();
});

function start(engine: MemoryEngine, auth: object): ReturnType<typeof runSink> {
  return runSink({
    engine,
    connector: bigQuerySink(),
    config: table.config({ auth }),
    plan: { retry: { attempts: 3, fromMs: 20, toMs: 200, onExhausted: 'wait' } },
  });
}

test('tokens come from the metadata server; refused ones are replaced, and no row is lost meanwhile', {
  timeout: 60_000,
}, async () => {
  const engine = new MemoryEngine();
  await engine.ensureTopic({ name: 'orders.out', partitions: 1 });
  const run = start(engine, { method: 'metadata_server' });
  engine.append('orders.out', 0, [record('{"id":"a"}')]);
  await until(() => run.status().counts.written === 1);
  const asked = tokens.counts['metadata'] ?? 0;
  tokens.revoke();
  tokens.fail({ kind: 'status', status: 403, error: 'not_now', times: 2 });
  engine.append('orders.out', 0, [record('{"id":"b"}')]);
  await until(() => run.status().state === 'degraded');
  await until(() => run.status().counts.written === 2);
  expect(tokens.counts['metadata']).toBeGreaterThan(asked);
  expect(run.status()).toMatchObject({ reason: null, counts: { rejected: 0 } });
  await run.stop();
});

test.each([
  ['is not there', null, /no token for the service account: .*no such file.*nowhere\/key\.json/],
  ['is not JSON', 'key', /no token for the service account: .*key\.json is not JSON/],
  [
    'is a user',
    '{"type":"authorized_user"}',
    /is of type authorized_user, not the key of a service account; method = /,
  ],
  ['has no key', '{"type":"service_account"}', /not the key of a service account/],
])('a key file that %s degrades the sink, which says so', async (_, text, says) => {
  const folder = temporaryDirectory();
  if (text !== null) writeFileSync(join(folder, 'key.json'), text);

  const engine = new MemoryEngine();
  await engine.ensureTopic({ name: 'orders.out', partitions: 1 });
  const run = start(engine, {
    method: 'service_account',
    key_file: join(folder, text === null ? 'nowhere/key.json' : 'key.json'),
  });
  engine.append('orders.out', 0, [record('{"id":"c"}')]);
  await until(() => run.status().state === 'degraded');
  expect(run.status().reason).toMatch(says);
  expect(run.status().reason).toContain('NO_CREDENTIALS');
  await run.stop();
  rmSync(folder, { recursive: true });
});
