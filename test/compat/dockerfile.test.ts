/**
 * The container's Dockerfile without an engine: its RUN steps in a fresh copy of what is committed, its COPY steps into a
 * second directory, and from there its ENTRYPOINT, until its HEALTHCHECK succeeds.
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { start as startBigQuery } from '../servers/bigquery/start.ts';
import { Millstream } from '../servers/millstream.ts';
import { eventually, freePorts } from '../servers/process.ts';

interface Instruction {
  stage: number;
  name: string;
  text: string;
}

/** Instructions with their stage; continued lines are one. */
function read(dockerfile: string): Instruction[] {
  let stage = -1;
  return dockerfile
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter(line => line.trim() !== '' && !line.startsWith('#'))
    .map(line => {
      const [, name = '', text = ''] = /^\s*(\S+)\s+(.*)$/.exec(line) ?? [];
      if (name === 'FROM') stage++;
      return { stage, name, text };
    });
}

const folder = mkdtempSync(join(tmpdir(), 'dockerfile-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the steps of the Dockerfile give a subscriber that is healthy', { timeout: 600_000 }, async () => {
  const instructions = read(readFileSync('deploy/bigquery-subscriber/Dockerfile', 'utf8'));
  const only = (stage: number, name: string): string[] =>
    instructions.filter(each => each.stage === stage && each.name === name).map(each => each.text);
  const source = join(folder, 'src');
  mkdirSync(source);
  // What is committed, as `COPY . .` gives it to the engine from a clean checkout.
  const archive = execFileSync('git', ['archive', 'HEAD'], { maxBuffer: 2 ** 30 });
  execFileSync('tar', ['-x', '-C', source], { input: archive });
  for (const command of only(0, 'RUN')) execFileSync('sh', ['-c', command], { cwd: source, stdio: 'pipe' });

  const app = join(folder, 'app');
  mkdirSync(app);
  for (const copy of only(1, 'COPY')) {
    const [, from = '', to = ''] = /^--from=build \/src\/(\S+) (\S+)$/.exec(copy) ?? [];
    expect(from, copy).not.toBe('');
    cpSync(join(source, from), join(app, to === './' ? from : to), { recursive: true, verbatimSymlinks: true });
  }
  expect(only(1, 'USER')).toEqual(['node']);

  const bigquery = await startBigQuery();
  const server = await Millstream.start();
  const [port = 0] = await freePorts(1);
  const [command = '', ...args] = JSON.parse(only(1, 'ENTRYPOINT')[0] ?? '[]') as string[];
  const node = dirname(process.execPath);
  const child = spawn(command, args, {
    cwd: app,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: {
      PATH: `${node}:${process.env['PATH'] ?? ''}`,
      NODE_ENV: 'production',
      GCP_PROJECT_ID: 'p',
      BIGQUERY_DATASET: 'd',
      BIGQUERY_TABLE: 't',
      MILLSTREAM_TOPIC: 'events',
      MILLSTREAM_BROKERS: server.bootstrap,
      AUTO_CREATE_TABLE: 'true',
      MILLSTREAM_NETWORK_HTTP_LISTEN: `127.0.0.1:${port}`,
      BIGQUERY_EMULATOR_HOST: bigquery.restUrl,
      BIGQUERY_STORAGE_EMULATOR_HOST: bigquery.grpcAddress,
    },
  });
  try {
    const [probe, ...probeArgs] = JSON.parse((only(1, 'HEALTHCHECK')[0] ?? '').replace(/^.*CMD /, '')) as string[];
    await eventually(
      'the health check',
      async () => {
        const asked = probeArgs.map(arg => arg.replace(':8080/', `:${port}/`));
        execFileSync(probe === 'node' ? process.execPath : String(probe), asked, { stdio: 'pipe' });
        return true;
      },
      30_000,
    );
    const ended = new Promise<number | null>(resolve => child.once('exit', resolve));
    child.kill(only(1, 'STOPSIGNAL')[0] as NodeJS.Signals);
    expect(await ended).toBe(0);
  } finally {
    child.kill('SIGKILL');
    await server.stop();
    await bigquery.close();
  }
});
