/** The foreign clients that load a server: Kafka's Java tools through kafka/perf.sh, and kcat (librdkafka). */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpuSeconds, residentBytes, run } from '../test/servers/process.ts';
import type { Target } from '../test/servers/target.ts';
import { Wire } from '../test/servers/wire.ts';

const MIB = 1024 * 1024;
const perf = fileURLToPath(new URL('./kafka/perf.sh', import.meta.url));

export interface Load {
  /** Records of 100 bytes and of 1 KiB in one run. */
  records100: number;
  records1024: number;
  partitions?: number;
}

export const recordsOf = (load: Load, size: number): number => (size <= 200 ? load.records100 : load.records1024);

/** One case of kafka/perf.sh; `suffix` keeps the topics of different runs apart. Throws with what the tool said. */
export async function javaCase(
  name: string,
  target: Target,
  load: Load,
  suffix: string,
): Promise<Record<string, number>> {
  const ran = await run(perf, [target.bootstrap, name], {
    env: {
      BROKER_PID: String(target.pid()),
      RECORDS_100: String(load.records100),
      RECORDS_1024: String(load.records1024),
      PARTITIONS: String(load.partitions ?? 1),
      RUN: suffix,
    },
    timeoutMs: 300_000,
  });
  const text = ran.stdout.toString();
  const figures = Object.fromEntries(
    [...text.matchAll(/(\w+)=([\d.]+)/g)].map(([, key = '', value]) => [key, Number(value)]),
  );
  if (ran.code !== 0 || figures['rec_s'] === undefined) {
    throw new Error(`${name}: ${text}${ran.stderr}`.trim().slice(-500));
  }
  const of = (key: string): number => figures[key] ?? Number.NaN;
  return {
    records_per_s: of('rec_s'),
    broker_us_per_record: of('broker_us_per_rec'),
    // At saturation the latency is that of the client's own queue; it says something at a fixed rate only.
    ...(!name.startsWith('rate') ? {} : { p50_ms: of('p50_ms'), p99_ms: of('p99_ms') }),
    broker_rss_mib: of('broker_rss_mib'),
  };
}

/** The payload of perf.sh's kind: JSON-like lines of exactly `size` bytes without the line end. */
export function writePayload(file: string, size: number, count: number): void {
  const lines: string[] = [];
  for (let i = 0; i < 1000; i++) {
    let text = `{"id":${(i * 7919) % 1_000_003},"ts":${1_700_000_000 + i},"event":"click","country":"de","note":"`;
    for (let n = i + 1; text.length < size - 2; n = (n * 48_271) % 2_147_483_647)
      text += `w${(n % 1_000_000).toString(16)} `;
    lines.push(`${text.slice(0, size - 2)}"}`);
  }
  const block = Buffer.from(`${lines.join('\n')}\n`);
  const out = openSync(file, 'w');
  for (let left = count; left > 0; left -= 1000)
    writeSync(out, left >= 1000 ? block : Buffer.from(`${lines.slice(0, left).join('\n')}\n`));
  closeSync(out);
}

/** What a broker spent while `work` ran. */
async function spent(target: Target, records: number, work: () => Promise<void>): Promise<Record<string, number>> {
  const cpu = cpuSeconds(target.pid());
  const started = performance.now();
  await work();
  const seconds = (performance.now() - started) / 1000;
  return {
    records_per_s: records / seconds,
    broker_us_per_record: ((cpuSeconds(target.pid()) - cpu) * 1e6) / records,
    broker_rss_mib: residentBytes(target.pid()) / MIB,
  };
}

async function kcat(path: string, args: string[]): Promise<void> {
  const ran = await run(path, args, { timeoutMs: 300_000 });
  if (ran.code !== 0) throw new Error(`kcat: ${ran.stderr.slice(-500)}`);
}

/** kcat sends the lines of a file. The run includes the start of the process, some 10 ms. */
export async function kcatProduce(
  path: string,
  target: Target,
  topic: string,
  size: number,
  load: Load,
): Promise<Record<string, number>> {
  const records = recordsOf(load, size);
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  try {
    const file = join(folder, 'payload');
    writePayload(file, size, records);
    const wire = await Wire.connect(target.bootstrap);
    await wire.createTopic(topic, load.partitions ?? 1);
    wire.close();
    const settings = ['acks=all', 'linger.ms=5', 'batch.size=65536', 'queue.buffering.max.messages=1000000'];
    const args = ['-P', '-b', target.bootstrap, '-t', topic, '-l', file, ...settings.flatMap(one => ['-X', one])];
    return await spent(target, records, () => kcat(path, args));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** kcat reads a topic to its end and prints nothing of the records. */
export function kcatConsume(
  path: string,
  target: Target,
  topic: string,
  size: number,
  load: Load,
): Promise<Record<string, number>> {
  const args = ['-C', '-b', target.bootstrap, '-t', topic, '-o', 'beginning', '-e', '-q', '-f', ''];
  return spent(target, recordsOf(load, size), () => kcat(path, args));
}
