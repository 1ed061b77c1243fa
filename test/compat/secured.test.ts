import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { silentLogger } from '../../core/base/logger.ts';
import { compose } from '../../server/compose.ts';
import { requireSettings } from '../../server/settings.ts';
import { runCommand } from '../server/support.ts';
import { type BigQueryFake, start as startBigQuery } from '../servers/bigquery/start.ts';
import { startKafka } from '../servers/kafka.ts';
import { type KafkaSecurity, kafkaSecurity } from '../servers/kafka-security.ts';
import { eventually } from '../servers/process.ts';
import { Subscriber } from '../servers/subscriber.ts';
import type { Target } from '../servers/target.ts';
import { requireTool } from '../servers/tools.ts';

/** The command line and the BigQuery container at an Apache Kafka that wants TLS and a login. */
describe.skipIf(requireTool('kafka') === null)('at an Apache Kafka with TLS and SASL', () => {
  vi.setConfig({ testTimeout: 120_000, hookTimeout: 240_000 });
  const cwd = mkdtempSync(join(tmpdir(), 'secured-'));
  let security: KafkaSecurity;
  let kafka: Target;
  let bigquery: BigQueryFake;
  beforeAll(async () => {
    security = await kafkaSecurity();
    kafka = await startKafka(security.properties, security.formatArguments);
    bigquery = await startBigQuery({ project: 'p', datasets: ['d'] });
    writeFileSync(join(cwd, 'ca.pem'), security.ca);
  });
  afterAll(async () => {
    await bigquery?.close();
    await kafka?.stop();
    security?.remove();
    rmSync(cwd, { recursive: true, force: true });
  });
  const options = (mechanism: string): string[] => [
    '--brokers',
    security.saslTls,
    '--tls-ca',
    'ca.pem',
    '--sasl',
    mechanism,
    '--user',
    security.username,
  ];
  const millstream = (args: string[], input = '', password = security.password) =>
    runCommand(args, { cwd, input, env: { MILLSTREAM_SASL_PASSWORD: password } });

  test.each(['plain', 'scram-sha-256', 'scram-sha-512'])('commands by %s', async mechanism => {
    const topic = `cli-${mechanism}`;
    const at = options(mechanism);
    expect(await millstream(['topic', 'create', topic, '--partitions', '1', ...at])).toMatchObject({ code: 0 });
    expect(await millstream(['produce', topic, ...at], 'one\ntwo\n')).toMatchObject({ code: 0 });
    const consume = ['consume', topic, '--from', 'earliest', '--exit-at-end', '--group', `g-${mechanism}`, ...at];
    expect(await millstream(consume)).toMatchObject({ code: 0, out: 'one\ntwo\n' });
    expect((await millstream(['group', 'list', ...at])).out).toContain(`g-${mechanism}`);
  });

  test('who is refused is told in one sentence, with exit code 4; who is not trusted with 3', async () => {
    const wrong = await millstream(['topic', 'list', ...options('scram-sha-512')], '', 'wrong');
    expect(wrong).toMatchObject({ code: 4, out: '' });
    expect(wrong.err).toMatch(/^millstream: localhost:\d+ refuses user ada: .*\n {2}Check the mechanism/);
    const [, broker = ''] = options('plain');
    const untrusted = await millstream(['topic', 'list', '--brokers', broker, '--tls', '--user', security.username]);
    expect(untrusted).toMatchObject({ code: 3, err: expect.stringContaining('is not trusted') as string });
  });

  const subscriber = (topic: string, more: Record<string, string>): Promise<Subscriber> =>
    Subscriber.prepare({
      GCP_PROJECT_ID: 'p',
      BIGQUERY_DATASET: 'd',
      BIGQUERY_TABLE: topic,
      AUTO_CREATE_TABLE: 'true',
      MILLSTREAM_TOPIC: topic,
      BIGQUERY_EMULATOR_HOST: bigquery.restUrl,
      BIGQUERY_STORAGE_EMULATOR_HOST: bigquery.grpcAddress,
      WRITE_METHOD: 'storage_write_api',
      MAX_BATCH_LATENCY_MS: '20',
      MILLSTREAM_BROKERS: security.saslTls,
      MILLSTREAM_TLS_CA_FILE: join(cwd, 'ca.pem'),
      MILLSTREAM_SASL_USERNAME: security.username,
      MILLSTREAM_SASL_PASSWORD: security.password,
      ...more,
    });

  test.each(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])('the container by %s', async mechanism => {
    const topic = `rows_${mechanism.toLowerCase().replaceAll('-', '_')}`;
    const rows = Array.from({ length: 100 }, (_, n) => JSON.stringify({ n })).join('\n');
    expect(await millstream(['produce', topic, ...options('plain')], rows)).toMatchObject({ code: 0 });
    const running = await subscriber(topic, { MILLSTREAM_SASL_MECHANISM: mechanism });
    try {
      await running.start();
      const written = async (): Promise<unknown> => {
        const [row] = await bigquery.sql(`SELECT COUNT(*) AS a, COUNT(DISTINCT n) AS b FROM d.${topic}`);
        return row;
      };
      await eventually(
        'all rows',
        async () => Number(Object.values((await written()) as object)[0]) >= 100 || undefined,
        60_000,
      );
      expect(Object.values((await written()) as object).map(Number)).toEqual([100, 100]);
      expect(await running.end('SIGTERM')).toBe(0);
    } finally {
      await running.remove();
    }
  });

  test('a project whose topics live there', async () => {
    const { port } = new URL(`kafka://${security.saslTls}`);
    const folder = mkdtempSync(join(cwd, 'project-'));
    writeFileSync(join(folder, 'ca.pem'), security.ca);
    writeFileSync(
      join(folder, 'millstream.toml'),
      `[network]\nhttp_listen = "127.0.0.1:0"\n[engine]\nkind = "kafka"\n[engine.kafka]\nbrokers = ["localhost:${port}"]\n[engine.kafka.tls]\nca_file = "ca.pem"\n[engine.kafka.sasl]\nmechanism = "SCRAM-SHA-256"\nusername = "${security.username}"\npassword = "${security.password}"\n`,
    );
    mkdirSync(join(folder, 'pipelines'));
    writeFileSync(
      join(folder, 'pipelines/copy.toml'),
      'name = "copy"\n[source]\ntopic = "project"\n[sinks.lake]\nbatch = { linger = "10ms" }\n[sinks.lake.file]\npath = "lake.ndjson"\n',
    );
    const server = await compose(requireSettings(undefined, {}, folder), '0.0.0-test', silentLogger);
    try {
      // The command finds brokers, certificate and login in the same file.
      expect(await runCommand(['produce', 'project'], { cwd: folder, input: '{"n":1}\n' })).toMatchObject({ code: 0 });
      const written = (): string | undefined =>
        existsSync(join(folder, 'lake.ndjson')) ? readFileSync(join(folder, 'lake.ndjson'), 'utf8') : undefined;
      expect(await eventually('the line', () => written() || undefined, 60_000)).toBe('{"n":1}\n');
    } finally {
      await server.stop();
    }
  });

  test('a container with a wrong password says so, and keeps its port open', async () => {
    const running = await subscriber('rows_plain', { MILLSTREAM_SASL_PASSWORD: 'wrong' });
    try {
      await running.start();
      const reason = await eventually('the reason', async () => {
        const { body } = await running.health();
        return body['status'] === 'healthy' ? undefined : String(body['reason']);
      });
      expect(reason).toMatch(/localhost:\d+ refuses user ada/);
    } finally {
      await running.remove();
    }
  });
});
