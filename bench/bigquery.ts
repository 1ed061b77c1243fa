/**
 * Rows a second from a topic into BigQuery: the subscriber's process reads a broker of ours and writes to the fake BigQuery,
 * which has a process of its own. Beside it the official JSONWriter in a process of its own, A B B A, with the same rows
 * from memory: it reads no broker and commits nothing. Six columns, about 200 bytes of JSON.
 *
 *   node bench/bigquery.ts [--rows 600000] [--rounds 1] [--only storage_write_api,streaming_inserts,official]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Millstream } from '../test/servers/millstream.ts';
import { cpuSeconds, ended, eventually, sleep } from '../test/servers/process.ts';
import { Subscriber } from '../test/servers/subscriber.ts';
import { Wire } from '../test/servers/wire.ts';
import { encodeBatch } from '../test/servers/wire-batch.ts';
import { FIELDS, rowText } from './bigquery-rows.ts';
import { Results, table } from './measure.ts';

const NAMES: Record<string, string> = { home_made: 'kafkajs + JSONWriter', writer: 'JSONWriter alone' };
const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '600000' },
    rounds: { type: 'string', default: '1' },
    only: { type: 'string', default: 'storage_write_api,streaming_inserts,home_made,writer' },
  },
});
const rows = Number(values.rows);
const PARTITIONS = 4;
const BATCH = 1000;
const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

interface Fake {
  child: ChildProcess;
  restUrl: string;
  grpcAddress: string;
}

/** It keeps sums instead of rows: the memory that rows take is not what is measured. */
async function startFake(): Promise<Fake> {
  const flags = ['--rest-port', '0', '--grpc-port', '0', '--dataset', 'd', '--count', '--journal-limit', '100'];
  const child = spawn(process.execPath, [path('../test/servers/bigquery/main.ts'), ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const restUrl = /BIGQUERY_EMULATOR_HOST=(\S+)/.exec(line)?.[1] ?? '';
  const grpcAddress = /STORAGE_EMULATOR_HOST=(\S+)/.exec(line)?.[1] ?? '';
  return { child, restUrl, grpcAddress };
}

async function makeTable({ restUrl }: Fake, name: string): Promise<void> {
  const answer = await fetch(`${restUrl}/bigquery/v2/projects/p/datasets/d/tables`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ tableReference: { tableId: name }, schema: { fields: FIELDS } }),
  });
  if (!answer.ok) throw new Error(`no table: ${await answer.text()}`);
}

async function rowsIn({ restUrl }: Fake, name: string): Promise<number> {
  const totals = (await (await fetch(`${restUrl}/__totals`)).json()) as Record<string, { rows: number } | undefined>;
  return totals[`p:d.${name}`]?.rows ?? 0;
}

async function fill(wire: Wire, topic: string): Promise<void> {
  await wire.createTopic(topic, PARTITIONS);
  await eventually(
    'the topic',
    async () => (await wire.listOffset(topic, PARTITIONS - 1, -1)).error === 0 || undefined,
  );
  for (let from = 0, batch = 0; from < rows; from += BATCH, batch++) {
    const texts = Array.from({ length: Math.min(BATCH, rows - from) }, (_, i) => Buffer.from(rowText(from + i)));
    const { error } = await wire.produce(topic, batch % PARTITIONS, encodeBatch({ values: texts }));
    if (error !== 0) throw new Error(`produce: error ${error}`);
  }
}

/** Figures of process `pid` while the table grows from a tenth of the rows to all of them: both sides are warm then. */
async function watch(fake: Fake, name: string, pid: number): Promise<Record<string, number>> {
  let began: { at: number; rows: number; cpu: number; fake: number } | undefined;
  const fakePid = fake.child.pid ?? 0;
  for (;;) {
    const there = await rowsIn(fake, name);
    const now = { at: performance.now(), rows: there, cpu: cpuSeconds(pid), fake: cpuSeconds(fakePid) };
    if (there >= rows / 10) began ??= now;
    if (began && there >= rows) {
      const counted = now.rows - began.rows;
      return {
        rows_per_s: (counted * 1000) / (now.at - began.at),
        client_us_per_row: ((now.cpu - began.cpu) * 1e6) / counted,
        fake_us_per_row: ((now.fake - began.fake) * 1e6) / counted,
        rows_too_many: there - rows,
      };
    }
    await sleep(20);
  }
}

async function subscriber(method: string, fake: Fake, broker: Millstream, topic: string, name: string) {
  const process = await Subscriber.prepare({
    GCP_PROJECT_ID: 'p',
    BIGQUERY_DATASET: 'd',
    BIGQUERY_TABLE: name,
    MILLSTREAM_TOPIC: topic,
    MILLSTREAM_BROKERS: broker.bootstrap,
    WRITE_METHOD: method,
    CONFIG_FILE: 'subscriber.toml',
    BIGQUERY_EMULATOR_HOST: fake.restUrl,
    BIGQUERY_STORAGE_EMULATOR_HOST: fake.grpcAddress,
  });
  writeFileSync(join(process.folder, 'subscriber.toml'), '[schema]\nnumbers_are = "microseconds"\n');
  try {
    await process.start();
    return await watch(fake, name, process.pid());
  } finally {
    await process.remove();
  }
}

async function official(fake: Fake, name: string, source: string[]) {
  const child = spawn(
    process.execPath,
    [path('./bigquery-official.ts'), fake.grpcAddress, name, String(rows), ...source],
    {
      stdio: 'inherit',
      // Nobody is asked for credentials.
      env: { ...process.env, METADATA_SERVER_DETECTION: 'none' },
    },
  );
  const end = ended(child);
  const died = end.then(how => {
    throw new Error(`the writer ended: ${how}`);
  });
  try {
    return await Promise.race([watch(fake, name, child.pid ?? 0), died]);
  } finally {
    died.catch(() => {});
    child.kill();
    await end;
  }
}

const only = values.only.split(',');
const contenders = only.flatMap(each => Array.from({ length: Number(values.rounds) }, () => each));
const order = [...contenders, ...contenders.toReversed()];
const results = new Results();
const broker = await Millstream.start();
const fake = await startFake();
try {
  const wire = await Wire.connect(broker.bootstrap);
  await fill(wire, 'rows');
  wire.close();
  for (const [i, each] of order.entries()) {
    const name = `t${i}`;
    await makeTable(fake, name);
    const run = order.slice(0, i + 1).filter(other => other === each).length;
    const figures = await (each in NAMES
      ? official(fake, name, each === 'home_made' ? [broker.bootstrap, 'rows'] : [])
      : subscriber(each, fake, broker, 'rows', name));
    results.add({ case: 'rows into BigQuery', target: NAMES[each] ?? each, run, figures });
  }
} finally {
  const end = ended(fake.child);
  fake.child.kill();
  await end;
  await broker.stop();
}
const targets = [...new Set(results.lines.map(({ target }) => target))];
console.log(`\n${table(results.lines, targets, NAMES['home_made'] ?? '')}\n\nraw lines: ${results.file}`);
