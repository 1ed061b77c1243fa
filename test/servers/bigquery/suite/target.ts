/**
 * What the behaviour suite runs against: BIGQUERY_TARGET = `fake` (default), `bqemulator` (an independent emulator from
 * PyPI, started here), or `google` (BIGQUERY_TEST_PROJECT and application default credentials; it makes a dataset of its
 * own and drops it; costs next to nothing).
 */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { BigQuery } from '@google-cloud/bigquery';
import { v1 } from '@google-cloud/bigquery-storage';
import { credentials } from '@grpc/grpc-js';
import { start } from '../start.ts';

export type WriteClient = InstanceType<typeof v1.BigQueryWriteClient>;

export interface Target {
  readonly kind: 'fake' | 'bqemulator' | 'google';
  readonly project: string;
  readonly dataset: string;
  readonly bigquery: BigQuery;
  readonly write: WriteClient;
  /** Where the REST API is, and how to ask it past the client. */
  readonly restUrl: string;
  /** host:port of the Storage API in plaintext; null at Google. */
  readonly grpcAddress: string | null;
  headers(): Promise<Record<string, string>>;
  close(): Promise<void>;
}

export const kind = (process.env['BIGQUERY_TARGET'] ?? 'fake') as Target['kind'];

// The clients would look for Google's metadata server, which takes seconds where there is none.
if (kind !== 'google') process.env['METADATA_SERVER_DETECTION'] = 'none';

export function restClient(project: string, url: string): BigQuery {
  return new BigQuery({
    projectId: project,
    apiEndpoint: url,
    authClient: { getRequestHeaders: async () => new Headers() } as never,
  });
}

export function writeClient(project: string, port: number): WriteClient {
  return new v1.BigQueryWriteClient({
    projectId: project,
    apiEndpoint: '127.0.0.1',
    port,
    sslCreds: credentials.createInsecure(),
  });
}

const endpoints = (project: string, dataset: string, rest: number, grpc: number) => ({
  project,
  dataset,
  restUrl: `http://127.0.0.1:${rest}`,
  grpcAddress: `127.0.0.1:${grpc}`,
  bigquery: restClient(project, `http://127.0.0.1:${rest}`),
  write: writeClient(project, grpc),
  headers: async () => ({}),
});

export async function openTarget(): Promise<Target> {
  if (kind === 'fake') {
    const fake = await start({ project: 'p', datasets: ['d'] });
    const target = endpoints('p', 'd', fake.restPort, fake.grpcPort);
    return { kind, ...target, close: async () => void (await Promise.all([target.write.close(), fake.close()])) };
  }
  if (kind === 'bqemulator') return openEmulator();
  return openGoogle();
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  await new Promise(resolve => server.close(resolve));
  return port;
}

async function openEmulator(): Promise<Target> {
  const script = new URL('../../bqemulator.sh', import.meta.url).pathname;
  const python = execFileSync(script, ['--find'], { encoding: 'utf8' }).trim();
  const [rest, grpc] = [await freePort(), await freePort()];
  const launcher = new URL('../../bqemulator-start.py', import.meta.url).pathname;
  const child = spawn(
    python,
    [launcher, 'start', '--rest-port', String(rest), '--grpc-port', String(grpc), '--project', 'p'],
    { env: { ...process.env, BQEMU_ENABLE_FORMAT_EXTENSIONS: 'false' }, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let said = '';
  child.stderr.on('data', (data: Buffer) => (said = (said + data.toString()).slice(-4000)));
  const target = endpoints('p', 'd', rest, grpc);
  for (let i = 0; ; i++) {
    try {
      await target.bigquery.createDataset('d');
      break;
    } catch (error) {
      if (i === 150 || child.exitCode !== null) throw new Error(`bqemulator did not start: ${said}`, { cause: error });
      await new Promise(resolve => setTimeout(resolve, 200));
    }
  }
  return {
    kind: 'bqemulator',
    ...target,
    close: async () => {
      await target.write.close();
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function openGoogle(): Promise<Target> {
  const project = process.env['BIGQUERY_TEST_PROJECT'] ?? '';
  if (project === '')
    throw new Error('BIGQUERY_TARGET=google needs BIGQUERY_TEST_PROJECT and application default credentials');
  const bigquery = new BigQuery({ projectId: project });
  const dataset = `millstream_test_${randomBytes(4).toString('hex')}`;
  await bigquery.createDataset(dataset, { defaultTableExpirationMs: '3600000' } as object);
  const write = new v1.BigQueryWriteClient({ projectId: project });
  return {
    kind: 'google',
    project,
    dataset,
    bigquery,
    write,
    restUrl: 'https://bigquery.googleapis.com',
    grpcAddress: null,
    headers: async () => {
      const token = await bigquery.authClient.getAccessToken();
      return { authorization: `Bearer ${typeof token === 'string' ? token : ''}` };
    },
    close: async () => {
      await bigquery.dataset(dataset).delete({ force: true });
      await write.close();
    },
  };
}
