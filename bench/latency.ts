/**
 * Produce -> module -> output topic -> consumer of committed records, with a load generator of our own: records leave on a fixed schedule,
 * whatever the answers do (open loop), and a record's latency counts from its scheduled time.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { Millstream } from '../test/servers/millstream.ts';
import { eventually, sleep } from '../test/servers/process.ts';
import { Wire } from '../test/servers/wire.ts';
import { decodeBatches, decodeValues, encodeBatch } from '../test/servers/wire-batch.ts';
import { percentiles } from './disk.ts';
import { type HopFigures, hopFigures, type Journey } from './hops.ts';
import { monotonic, type ServerHops } from './hops-server.ts';

/** Attribute bit of a control batch. */
const CONTROL = 0x20;

const PIPELINE = `name = "latency"

[source]
topic = "latency.in"

[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["customer.email"] }

[outputs]
default = { topic = "latency.out" }
`;

/**
 * One run against a server of its own. Figures in milliseconds. `hops` is told where each record was when (the server then
 * writes it all down, which costs a little).
 */
export async function latency(
  ratePerSecond: number,
  seconds: number,
  fsync: boolean,
  hops?: (figures: HopFigures) => void,
): Promise<Record<string, number>> {
  const config = { 'broker.default_partitions': 1, 'wal.fsync_on_write': fsync };
  const trace = join(tmpdir(), `hops-${process.pid}.json`);
  const path = fileURLToPath(new URL('./hops-server.ts', import.meta.url));
  const server = await Millstream.prepare({ config, ...(hops && { preload: { path, env: { HOPS_FILE: trace } } }) });
  try {
    writeFileSync(join(server.folder, 'pipelines', 'latency.toml'), PIPELINE);
    await server.restart();
    const [producer, consumer] = await Promise.all([Wire.connect(server.bootstrap), Wire.connect(server.bootstrap)]);
    await eventually('the pipeline and its output topic', async () => {
      await producer.createTopic('latency.in', 1);
      const ready = await fetch(`${server.httpUrl}/ready`);
      return (ready.ok && (await consumer.listOffset('latency.out', 0, -1)).error === 0) || undefined;
    });
    // The first part warms up and is not counted.
    const warmUp = ratePerSecond * 2;
    const total = warmUp + ratePerSecond * seconds;
    const latencies: number[] = [];
    const journeys: Journey[] = [];
    const toMonotonic = monotonic() - performance.now();
    const started = performance.now() + 100;
    const due = (n: number): number => started + (n * 1000) / ratePerSecond;

    const read = async (): Promise<void> => {
      let next = 0;
      let from = 0;
      while (next < total) {
        const answer = await consumer.fetch('latency.out', 0, from, { minBytes: 1, maxWaitMs: 1000, committed: true });
        const now = performance.now();
        if (answer.error !== 0) throw new Error(`fetch: error ${answer.error}`);
        for (const batch of decodeBatches(answer.records)) {
          if (batch.lastOffset < from) continue;
          from = batch.lastOffset + 1;
          // Markers of transactions lie between the records.
          if ((batch.attributes & CONTROL) !== 0) continue;
          for (const { value } of decodeValues(batch)) {
            const { n } = JSON.parse(value.toString()) as { n: number };
            if (n !== next) throw new Error(`record ${n} where ${next} was due`);
            next++;
            if (n < warmUp) continue;
            latencies.push(now - due(n));
            (journeys[n - warmUp] as Journey).received = now + toMonotonic;
          }
        }
        if (now > due(total) + 30_000) throw new Error(`${total - next} records did not come within 30 s of the last`);
      }
    };
    const write = async (): Promise<void> => {
      const answers: Promise<unknown>[] = [];
      for (let n = 0; n < total; ) {
        const now = performance.now();
        const values: Buffer[] = [];
        for (; n < total && due(n) <= now; n++) {
          const text = { n, customer: { name: 'Ada', email: `ada${n % 1000}@example.com` }, note: 'x'.repeat(120) };
          values.push(Buffer.from(JSON.stringify(text)));
          if (n >= warmUp) journeys.push({ due: due(n) + toMonotonic, sent: now + toMonotonic, received: 0 });
        }
        if (values.length > 0) answers.push(producer.produce('latency.in', 0, encodeBatch({ values })));
        else await sleep(1);
        // Lets the reader run even when records are due all the time.
        await new Promise(resolve => setImmediate(resolve));
      }
      await Promise.all(answers);
    };
    // Where a late record was late: the generator's own loop and the server's, the rest is the disk.
    const own = monitorEventLoopDelay({ resolution: 1 });
    own.enable();
    await loopDelay(server);
    await Promise.all([read(), write()]);
    producer.close();
    consumer.close();
    const loops = { generator_loop_p99_ms: own.percentile(99) / 1e6, server_loop_p99_ms: await loopDelay(server) };
    if (hops) {
      await server.terminate();
      hops(hopFigures(JSON.parse(readFileSync(trace, 'utf8')) as ServerHops, journeys, warmUp));
      rmSync(trace);
    }
    return { records_per_s: ratePerSecond, ...percentiles(latencies), ...loops };
  } finally {
    await server.stop();
  }
}

/** How late the server's event loop was, at the 99th percentile since the last call, in milliseconds. */
async function loopDelay({ httpUrl }: Millstream): Promise<number> {
  const text = await (await fetch(`${httpUrl}/metrics`)).text();
  return Number(/^nodejs_eventloop_lag_p99_seconds ([\d.e-]+)$/m.exec(text)?.[1] ?? Number.NaN) * 1000;
}
