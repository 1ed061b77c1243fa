import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { runCommand } from '../server/support.ts';
import { startKafka } from '../servers/kafka.ts';
import { Millstream } from '../servers/millstream.ts';
import { eventually, sleep } from '../servers/process.ts';
import type { Target } from '../servers/target.ts';
import { requireTool } from '../servers/tools.ts';

/*
 * A pipeline with a step, an exactly-once sink and dead letters on a real Apache Kafka, while its process is killed in
 * the middle of its work again and again: what comes out is what went in.
 */

const KILLS = 5;
const RECORDS = 40_000;
const isBad = (n: number): boolean => n % 1000 === 7;
const PIPELINE = `
name = "orders"
[source]
topic = "orders"
[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["email"] }
[sinks.lake]
batch = { records = 200, linger = "10ms" }
[sinks.lake.file]
path = "out/lake.ndjson"
[dead_letter]
`;

describe.skipIf(requireTool('kafka') === null)('a pipeline on Apache Kafka that is killed', () => {
  vi.setConfig({ testTimeout: 400_000, hookTimeout: 240_000 });
  let kafka: Target;
  let server: Millstream;
  beforeAll(async () => {
    kafka = await startKafka({
      'group.min.session.timeout.ms': '500',
      'offsets.topic.num.partitions': '2',
      'transaction.state.log.num.partitions': '2',
    });
    server = await Millstream.prepare({
      toml: `[engine]\nkind = "kafka"\n[engine.kafka]\nbrokers = ["${kafka.bootstrap}"]\nsession_timeout_ms = 1000\n[topics.orders]\npartition_count = 3\n`,
    });
    mkdirSync(join(server.folder, 'pipelines'), { recursive: true });
    writeFileSync(join(server.folder, 'pipelines/orders.toml'), PIPELINE);
  });
  afterAll(async () => {
    await server?.stop();
    await kafka?.stop();
  });
  const millstream = (args: string[], input = '') =>
    runCommand([...args, '--brokers', kafka.bootstrap], { cwd: server.folder, input });
  const numbers = (lines: readonly string[]): number[] =>
    lines.map(line => (JSON.parse(line) as { n: number }).n).toSorted((a, b) => a - b);
  const written = (): string[] => {
    const folder = join(server.folder, 'out');
    const files = readdirSync(server.folder).includes('out') ? readdirSync(folder) : [];
    return files
      .filter(file => file.startsWith('lake'))
      .flatMap(file => readFileSync(join(folder, file), 'utf8').split('\n').slice(0, -1));
  };
  const outputs = async (): Promise<string[]> => {
    const { out } = await millstream(['consume', 'orders.out', '--from', 'earliest', '--exit-at-end']);
    return out.split('\n').slice(0, -1);
  };

  test('loses nothing and doubles nothing', async () => {
    expect(await millstream(['topic', 'create', 'orders', '--partitions', '3'])).toMatchObject({ code: 0 });
    const line = (n: number): string => (isBad(n) ? `no JSON ${n}` : JSON.stringify({ n, email: 'ada@example.com' }));
    const all = Array.from({ length: RECORDS }, (_, n) => n);
    let sent = 0;
    const produce = async (count: number): Promise<void> => {
      const input = all
        .slice(sent, sent + count)
        .map(n => `${n}:${line(n)}`)
        .join('\n');
      sent += count;
      expect(await millstream(['produce', 'orders', '--key-separator', ':'], input)).toMatchObject({ code: 0 });
    };
    const cuts: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      server.spawn();
      const before = written().length;
      const producing = produce(RECORDS / KILLS);
      // In the middle of the work of this life.
      await eventually('some work', () => written().length > before || undefined, 60_000);
      await sleep(kill * 30);
      await server.kill9();
      cuts.push(written().length - before);
      await producing;
    }
    console.log(`lines written in each life that was killed: ${cuts.join(' ')}`);
    server.spawn();
    const good = all.filter(n => !isBad(n));
    await eventually('everything', () => written().length >= good.length || undefined, 120_000);
    // All of it may be there already: no process stops cleanly before it has begun.
    await eventually('the process', async () => (await fetch(`${server.httpUrl}/ready`)).ok || undefined, 60_000);
    expect(await server.terminate()).toBe(0);
    expect(numbers(written())).toEqual(good);
    expect(numbers(await outputs())).toEqual(good);
    const letters = await millstream(['dead-letter', 'list', 'orders', '--json']);
    expect(letters.out.split('\n').slice(0, -1).length).toBe(RECORDS - good.length);
  });
});
