import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { silentLogger } from '../../core/base/logger.ts';
import { compose, type Millstream } from '../../server/compose.ts';
import { requireSettings } from '../../server/settings.ts';
import { type Ran, runCommand, until } from './support.ts';

const PARTITIONS = 3;
const PIPELINE = `
name = "orders"
[source]
topic = "orders"
[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["email"] }
[sinks.lake]
batch = { records = 50, linger = "10ms" }
[sinks.lake.file]
path = "out/lake.ndjson"
[dead_letter.file]
path = "out/dead.ndjson"
`;
const PLAIN = `
name = "copy"
[source]
topic = "orders"
[sinks.lake]
batch = { records = 50, linger = "10ms" }
[sinks.lake.file]
path = "out/copy.ndjson"
`;

/** A project whose topics live in a cluster, on any Kafka-protocol brokers. */
export function engineKafkaSuite(
  name: string,
  start: () => Promise<{ bootstrap: string; stop(): Promise<void> }>,
): void {
  describe(`[engine] kind = "kafka", ${name}`, () => {
    vi.setConfig({ testTimeout: 120_000, hookTimeout: 240_000 });
    let cluster: Awaited<ReturnType<typeof start>>;
    const servers: Millstream[] = [];
    const folder = mkdtempSync(join(tmpdir(), 'engine-kafka-'));
    const write = (path: string, text: string): void => {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    };
    beforeAll(async () => {
      cluster = await start();
      write(
        'millstream.toml',
        `[network]\nhttp_listen = "127.0.0.1:0"\n[engine]\nkind = "kafka"\n[engine.kafka]\nbrokers = ["${cluster.bootstrap}"]\n[topics.orders]\npartition_count = ${PARTITIONS}\n`,
      );
      write('pipelines/orders.toml', PIPELINE);
      write('pipelines/copy.toml', PLAIN);
    });
    afterEach(async () => {
      for (const server of servers.splice(0)) await server.stop();
    });
    afterAll(async () => {
      await cluster?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    const run = async (where = folder): Promise<Millstream> => {
      const server = await compose(requireSettings(undefined, {}, where), '0.0.0-test', silentLogger);
      servers.push(server);
      await server.pipelinesStarted;
      return server;
    };
    /** The project's configuration names the cluster. */
    const millstream = (args: string[], input = ''): Promise<Ran> => runCommand(args, { cwd: folder, input });
    const produce = async (from: number, count: number): Promise<void> => {
      const line = (n: number): string =>
        isBad(n) ? `no JSON ${n}` : JSON.stringify({ n, email: `${n}@example.com` });
      const input = Array.from({ length: count }, (_, i) => `${from + i}:${line(from + i)}`).join('\n');
      expect(await millstream(['produce', 'orders', '--key-separator', ':'], input)).toMatchObject({ code: 0 });
    };
    const isBad = (n: number): boolean => n % 100 === 7;
    const good = (to: number): number[] => Array.from({ length: to }, (_, n) => n).filter(n => !isBad(n));
    const linesOf = (prefix: string): string[] =>
      readdirSync(join(folder, 'out'))
        .filter(file => file.startsWith(prefix))
        .flatMap(file =>
          readFileSync(join(folder, 'out', file), 'utf8')
            .split('\n')
            .slice(0, -1),
        );
    const settled = async (server: Millstream, dead: number): Promise<void> => {
      await until(
        () => server.pipelines.map(pipeline => pipeline.status()),
        all =>
          all.every(({ lag, sinks }) => lag === 0 && sinks.every(sink => sink.lag === 0 && sink.state === 'idle')) &&
          all.find(({ name: of }) => of === 'orders')?.deadLetters.total === dead,
      );
      await until(
        () => linesOf('dead').length,
        count => count >= dead,
      );
    };
    const numbers = (lines: readonly string[]): number[] =>
      lines.map(line => (JSON.parse(line) as { n: number }).n).toSorted((a, b) => a - b);
    const outputs = async (): Promise<string[]> => {
      const { out } = await millstream(['consume', 'orders.out', '--from', 'earliest', '--exit-at-end']);
      return out.split('\n').slice(0, -1);
    };

    test('steps, sinks and dead letters work on the cluster, also over a restart: nothing is lost or doubled', async () => {
      const first = await run();
      expect(first.embedded).toBe(null);
      await produce(0, 1000);
      await settled(first, 10);
      expect(first.pipelines.find(({ name: of }) => of === 'orders')?.status()).toMatchObject({
        state: 'running',
        records: 1000,
        source: { total: expect.any(Number) as number },
      });
      await first.stop();
      servers.length = 0;
      const second = await run();
      await produce(1000, 500);
      await settled(second, 15);
      const all = good(1500);
      const written = linesOf('lake');
      expect(numbers(written)).toEqual(all);
      expect(written.every(line => line.includes('"email":"***"'))).toBe(true);
      expect(numbers(await outputs())).toEqual(all);
      expect(linesOf('copy').length).toBe(1500);
      const letters = linesOf('dead').map(line => (JSON.parse(line) as { value: string }).value);
      expect(letters.toSorted()).toEqual(Array.from({ length: 15 }, (_, i) => `no JSON ${i * 100 + 7}`).toSorted());
    });

    test('positions are those of groups, and dead letters are listed and replayed as ever', async () => {
      const server = await run();
      const groups = (await millstream(['group', 'list'])).out;
      for (const group of ['millstream.orders', 'millstream.orders.lake', 'millstream.copy.lake']) {
        expect(groups).toContain(group);
      }
      const listed = await millstream(['dead-letter', 'list', 'orders', '--json']);
      expect(listed.out.split('\n').slice(0, -1).length).toBe(15);
      // They are no JSON still: each dies once more. The pipeline finds the topic of replays within ten seconds.
      const replayed = await millstream(['dead-letter', 'replay', 'orders']);
      expect(replayed).toMatchObject({ code: 1, out: '0 passed, 15 died again\n' });
      await settled(server, 30);
    });

    test('a second process stands by where files are written; it takes over in the same folder, and in no other', async () => {
      const first = await run();
      const elsewhere = mkdtempSync(join(tmpdir(), 'engine-kafka-'));
      cpSync(folder, elsewhere, { recursive: true, filter: source => !/\/(out|\.millstream)$/.test(source) });
      const [beside, other] = [await run(), await run(elsewhere)];
      await produce(1500, 300);
      const lake = (server: Millstream) =>
        server.pipelines
          .find(({ name: of }) => of === 'orders')
          ?.status()
          .sinks.find(({ name: sink }) => sink === 'lake');
      await until(
        () => [first, beside, other].map(server => lake(server)?.written ?? 0),
        counts => counts.reduce((sum, count) => sum + count, 0) === 297,
      );
      expect([lake(first)?.written, lake(beside)?.written, lake(other)?.written]).toEqual([297, 0, 0]);
      await first.stop();
      servers.splice(servers.indexOf(first), 1);
      await produce(1800, 100);
      await until(
        () => [lake(beside), lake(other)],
        ([mine, theirs]) => mine?.written === 99 || theirs?.state === 'stopped',
      );
      if (lake(other)?.state === 'stopped') {
        expect(lake(other)?.reason).toMatch(/another folder than .* has the files .*sink reset/);
        await other.stop();
        servers.splice(servers.indexOf(other), 1);
        await until(
          () => lake(beside)?.written,
          written => written === 99,
        );
      }
      expect(numbers(linesOf('lake'))).toEqual(good(1900));
      expect(existsSync(join(elsewhere, 'out/lake.ndjson'))).toBe(false);
      rmSync(elsewhere, { recursive: true });
    });

    test('what there is not is said in a sentence', async () => {
      const server = await run();
      const url = `http://127.0.0.1:${server.http.port}`;
      const trace = await millstream(['trace', 'orders/0@0', '--server', url]);
      expect(trace).toMatchObject({ code: 4, out: '' });
      expect(trace.err).toMatch(/^millstream: trace and audit read what our own broker keeps .* Kafka cluster/);
      expect(await millstream(['audit', 'orders', '--server', url])).toMatchObject({ code: 4 });
      const records = await fetch(`${url}/api/v1/topics/orders/records`);
      expect(records.status).toBe(501);
      expect(await records.json()).toMatchObject({ code: 'TOPICS_ELSEWHERE' });
      expect((await fetch(`${url}/ready`)).status).toBe(200);
      expect((await fetch(`${url}/api/v1/pipelines/orders`)).status).toBe(200);
    });

    test('a cluster that is not there ends the start with its address', async () => {
      const elsewhere = mkdtempSync(join(tmpdir(), 'engine-kafka-'));
      const toml = '[engine]\nkind = "kafka"\n[engine.kafka]\nbrokers = ["127.0.0.1:1"]\n';
      writeFileSync(join(elsewhere, 'millstream.toml'), toml);
      const starting = compose(requireSettings(undefined, {}, elsewhere), '0.0.0-test', silentLogger);
      await expect(starting).rejects.toMatchObject({
        code: 'UNREACHABLE',
        message: expect.stringContaining('127.0.0.1:1') as string,
      });
      rmSync(elsewhere, { recursive: true });
    });
  });
}
