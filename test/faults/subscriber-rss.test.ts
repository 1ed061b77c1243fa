/**
 * Memory while BigQuery takes nothing: 20,000 records of 200 bytes come in each second; a Millstream's own sink and a
 * subscriber of its own process stand still. After the run neither has 32 MiB more resident memory than after the first
 * minute. `npm run soak -- rss` runs ten minutes; no shorter one says anything, as V8's heap grows to its size first.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { start as startBigQuery } from '../servers/bigquery/start.ts';
import { Millstream } from '../servers/millstream.ts';
import { eventually, residentBytes, sleep } from '../servers/process.ts';
import { Subscriber } from '../servers/subscriber.ts';
import { Wire } from '../servers/wire.ts';
import { encodeBatch } from '../servers/wire-batch.ts';
import { countOr, report } from './settings.ts';
import { makeTable } from './subscriber/ways.ts';

const TOPIC = 'orders';
const PARTITIONS = 4;
const RATE = 20_000;
const BATCH = 500;
const VALUE_BYTES = 200;
const MIB = 1024 * 1024;
const MOST_GROWTH = 32 * MIB;
/** Of the measurement: the mean of one second's looks each. */
const LOOKS = 10;

const PIPELINE = (restUrl: string, grpcAddress: string): string => `
name = "orders"
[source]
topic = "${TOPIC}"
[sinks.lake.bigquery]
project = "p"
dataset = "d"
table = "lake"
endpoint = "${restUrl}"
storage_endpoint = "${grpcAddress}"
write_method = "storage_write_api"
`;

const minutes = countOr(10);

test('memory does not grow while BigQuery takes nothing', { timeout: 3_600_000 }, async () => {
  const fake = await startBigQuery({ project: 'p', datasets: ['d'], journalLimit: 0 });
  const server = await Millstream.prepare();
  const subscriber = await Subscriber.prepare({
    GCP_PROJECT_ID: 'p',
    BIGQUERY_DATASET: 'd',
    BIGQUERY_TABLE: 'outside',
    MILLSTREAM_TOPIC: TOPIC,
    MILLSTREAM_BROKERS: server.bootstrap,
    WRITE_METHOD: 'storage_write_api',
    BIGQUERY_EMULATOR_HOST: fake.restUrl,
    BIGQUERY_STORAGE_EMULATOR_HOST: fake.grpcAddress,
  });
  let wire: Wire | null = null;
  try {
    for (const table of ['lake', 'outside']) await makeTable(fake.restUrl, table);
    const refusal = { kind: 'grpc-error', code: 14, message: 'out of order' } as const;
    fake.faults.add({ method: 'AppendRows', times: 0, action: refusal });
    writeFileSync(join(server.folder, 'pipelines/orders.toml'), PIPELINE(fake.restUrl, fake.grpcAddress));
    await server.restart();
    wire = await Wire.connect(server.bootstrap);
    await wire.createTopic(TOPIC, PARTITIONS);
    const isThere = async (): Promise<true | undefined> =>
      (await (wire as Wire).listOffset(TOPIC, PARTITIONS - 1, -1)).error === 0 || undefined;
    await eventually('the topic', isThere);
    await subscriber.start();
    const load = new Load(wire);
    const pids = { millstream: server.pid(), subscriber: subscriber.pid() };
    const curve: Record<string, number[]> = { millstream: [], subscriber: [] };
    for (let second = 0; second < minutes * 60 + LOOKS; second++) {
      await load.second();
      for (const [name, pid] of Object.entries(pids)) curve[name]?.push(residentBytes(pid));
    }
    const { body } = await subscriber.health();
    expect(body['status']).toBe('degraded');
    expect(Number(body['backlog'])).toBeGreaterThan(load.sent * 0.9);
    const mib = (bytes: number): number => Math.round((bytes / MIB) * 10) / 10;
    const mean = (looks: readonly number[]): number => looks.reduce((sum, look) => sum + look, 0) / looks.length;
    const figures = Object.fromEntries(
      Object.entries(curve).map(([name, looks]) => {
        const [first, last] = [mean(looks.slice(60, 60 + LOOKS)), mean(looks.slice(-LOOKS))];
        const each = Array.from({ length: minutes }, (_, minute) => Math.round((looks[minute * 60 + 59] ?? 0) / MIB));
        return [name, { first: mib(first), last: mib(last), growth: mib(last - first), minutes: each }];
      }),
    );
    report('rss', { minutes, perSecond: load.perSecond, late: load.late, mib: figures });
    expect(load.perSecond).toBeGreaterThan(RATE * 0.98);
    for (const { growth } of Object.values(figures)) expect(growth * MIB).toBeLessThanOrEqual(MOST_GROWTH);
  } finally {
    wire?.close();
    await subscriber.remove();
    await server.stop();
    await fake.close();
  }
});

/** So many records a second, by the clock. */
class Load {
  sent = 0;
  /** Seconds in which not all of its records were acknowledged by its end. */
  late = 0;
  private readonly wire: Wire;
  private readonly batch: Buffer;
  private readonly began = performance.now();
  private seconds = 0;

  constructor(wire: Wire) {
    this.wire = wire;
    const row = (i: number): string => {
      const start = `{"n":${i},"amount":${i},"place":"POINT(1 2)","id":"`;
      return `${start}${'x'.repeat(VALUE_BYTES - start.length - 2)}"}`;
    };
    this.batch = encodeBatch({ values: Array.from({ length: BATCH }, (_, i) => Buffer.from(row(i))) });
  }

  get perSecond(): number {
    return Math.round((this.sent / (performance.now() - this.began)) * 1000);
  }

  async second(): Promise<void> {
    const batches = RATE / BATCH;
    const acks: Promise<unknown>[] = [];
    for (let i = 0; i < batches; i++) {
      const wait = this.began + (this.seconds + i / batches) * 1000 - performance.now();
      if (wait > 0) await sleep(wait);
      acks.push(this.wire.produce(TOPIC, i % PARTITIONS, this.batch));
    }
    await Promise.all(acks);
    this.sent += RATE;
    this.seconds++;
    if (performance.now() > this.began + this.seconds * 1000 + 100) this.late++;
  }
}
