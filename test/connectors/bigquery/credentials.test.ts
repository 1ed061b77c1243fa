import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { bigQuerySink } from '../../../connectors/bigquery/sink.ts';
import { startTokenServer, type TokenServer } from '../../servers/bigquery/auth/token-server.ts';
import { MemoryEngine } from '../memory-engine.ts';
import { record, runSink, until } from '../support.ts';
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

test('a key file that is not there degrades the sink and says so', async () => {
  const engine = new MemoryEngine();
  await engine.ensureTopic({ name: 'orders.out', partitions: 1 });
  const run = start(engine, { method: 'service_account', key_file: 'nowhere/key.json' });
  engine.append('orders.out', 0, [record('{"id":"c"}')]);
  await until(() => run.status().state === 'degraded');
  expect(run.status().reason).toContain('NO_CREDENTIALS');
  await run.stop();
});
