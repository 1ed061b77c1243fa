import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Millstream } from '../../servers/millstream.ts';
import { ended, run } from '../../servers/process.ts';
import { type Project, startProject } from '../support.ts';

/* What only a real process shows: pipes that close, signals, exit codes. */

const program = fileURLToPath(new URL('../../../bin/millstream.js', import.meta.url));

describe('the process', () => {
  let project: Project;
  let brokers: string[];
  let folder: string;
  const children: ChildProcess[] = [];
  beforeAll(async () => {
    project = await startProject();
    brokers = ['--brokers', `127.0.0.1:${project.server.kafka.port}`];
    folder = mkdtempSync(join(tmpdir(), 'millstream-process-'));
    await project.run(['produce', 'many', ...brokers], `${'x'.repeat(1000)}\n`.repeat(5000));
  });
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL');
    await project.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const begin = (args: string[], env: Record<string, string> = {}) => {
    const child = spawn(process.execPath, [program, ...args], { cwd: folder, env: { ...process.env, ...env } });
    children.push(child);
    const said = { out: '', err: '' };
    child.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (said.err += chunk.toString()));
    return { child, said };
  };
  const anyPorts = { MILLSTREAM_NETWORK_KAFKA_LISTEN: '127.0.0.1:0', MILLSTREAM_NETWORK_HTTP_LISTEN: '127.0.0.1:0' };

  it('ends quietly when nobody reads its output any more', async () => {
    const { child, said } = begin(['consume', 'many', ...brokers, '--from', 'earliest']);
    await once(child.stdout, 'data');
    child.stdout.destroy();
    expect(await ended(child)).toBe(0);
    expect(said.err).toBe('');
  });

  it.skipIf(!existsSync('/dev/full'))('says that its output cannot be written', async () => {
    const { code, stderr } = await run('sh', [
      '-c',
      `'${process.execPath}' '${program}' consume many ${brokers.join(' ')} --from earliest > /dev/full`,
    ]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^millstream: the output cannot be written: .*ENOSPC.*\n$/),
    ]);
  });

  it('ends at ctrl-c while it waits for a line, after sending those before', async () => {
    const { child, said } = begin(['produce', 'typed', ...brokers]);
    child.stdin.write('one\ntwo\n');
    await expect
      .poll(async () => (await project.run(['consume', 'typed', ...brokers, '--from', 'earliest', '-e'])).out, {
        timeout: 10_000,
      })
      .toContain('two');
    child.kill('SIGINT');
    expect(await ended(child)).toBe(0);
    expect(said.err).toContain('2 records sent to typed, acknowledged');
  });

  it('waits for a broker that is away, and loses nothing of what it was given', async () => {
    const server = await Millstream.start();
    try {
      const own = ['--brokers', server.bootstrap];
      const { child, said } = begin(['produce', 'patient', ...own, '--partition', '0']);
      const values = async () => (await project.run(['consume', 'patient', ...own, '--from', 'earliest', '-e'])).out;
      child.stdin.write('before\n');
      await expect.poll(values, { timeout: 10_000 }).toBe('before\n');
      await server.kill9();
      child.stdin.end('while it was away\n');
      await new Promise(resolve => setTimeout(resolve, 300));
      expect(child.exitCode).toBe(null);
      await server.restart();
      expect(await ended(child)).toBe(0);
      expect(said.err).toContain('2 records sent to patient, acknowledged');
      expect(await values()).toBe('before\nwhile it was away\n');
    } finally {
      await server.stop();
    }
  });

  it.each(['SIGTERM', 'SIGHUP'] as const)(
    'starts in an empty folder with every default, outlives its screen, and stops at %s',
    async signal => {
      const { child, said } = begin(['start'], anyPorts);
      await once(child.stdout, 'data');
      child.stdout.destroy();
      const port = /127\.0\.0\.1:(\d+) {4}any Kafka client/.exec(said.out)?.[1];
      const own = ['--brokers', `127.0.0.1:${port}`];
      expect(await project.run(['produce', signal, ...own], 'hello\n')).toMatchObject({ code: 0 });
      expect(await project.run(['consume', signal, ...own, '--from', 'earliest', '-e'])).toMatchObject({
        out: 'hello\n',
      });
      child.kill(signal);
      expect(await ended(child)).toBe(0);
    },
  );

  it('is gone after the time that a stop may take', async () => {
    const { child, said } = begin(['start'], { ...anyPorts, MILLSTREAM_OPERATIONS_GRACEFUL_SHUTDOWN_TIMEOUT_MS: '1' });
    await expect.poll(() => said.out, { timeout: 10_000 }).toContain('listening after');
    child.kill('SIGTERM');
    expect(await ended(child)).toBe(1);
    expect(said.err).toContain('the stop took too long');
  });

  it.each([
    ['SIGINT', 150],
    ['SIGTERM', 220],
    ['SIGINT', 300],
  ] as const)('takes %s %i ms into its start', async (signal, delay) => {
    const { child, said } = begin(['start'], anyPorts);
    await new Promise(resolve => setTimeout(resolve, delay));
    child.kill(signal);
    // Before our handler is there the system's default ends the process, which then has opened nothing.
    expect([0, signal]).toContain(await ended(child));
    expect(said.err).not.toMatch(/^\s+at /m);
  });

  it('says which key to change when a port is taken', async () => {
    const taken: Server = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    const at = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
    for (const key of ['kafka_listen', 'http_listen']) {
      const { child, said } = begin(['start'], {
        ...anyPorts,
        [`MILLSTREAM_NETWORK_${key.toUpperCase()}`]: at,
        MILLSTREAM_BROKER_LOG_LEVEL: 'warn',
      });
      expect(await ended(child)).toBe(1);
      expect(said.err).toBe(
        `millstream: another process listens on ${at}\n  Stop it, or choose another port: [network] ${key} in millstream.toml (port 0 = any free one).\n`,
      );
    }
    taken.close();
  });

  it.each([
    ['192.0.2.1:9092', 'this machine has no address 192.0.2.1:9092'],
    ['nothing.invalid:9092', 'the host name of nothing.invalid:9092'],
  ])('explains why it cannot listen on %s', async (at, sentence) => {
    const { child, said } = begin(['start'], { ...anyPorts, MILLSTREAM_NETWORK_KAFKA_LISTEN: at });
    expect(await ended(child)).toBe(1);
    expect(said.err).toContain(sentence);
    expect(said.err).toContain('[network] kafka_listen in millstream.toml');
  });
});
