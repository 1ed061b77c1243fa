/**
 * How many rows a second the fake takes, in its own process: `node test/servers/bigquery/load.ts [seconds]`. Six columns of
 * about 200 bytes in all; the rows are encoded before the clock starts, so that the client costs little.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Appender, rows } from './suite/append.ts';
import { type Field, message } from './suite/rows.ts';
import { writeClient } from './suite/target.ts';

const seconds = Number(process.argv[2] ?? 5);
const FIELDS: Field[] = [
  { name: 'id', type: 'int64' },
  { name: 'name', type: 'string' },
  { name: 'amount', type: 'double' },
  { name: 'active', type: 'bool' },
  { name: 'at', type: 'int64' },
  { name: 'note', type: 'string' },
];
const COLUMNS = ['INTEGER', 'STRING', 'FLOAT', 'BOOLEAN', 'TIMESTAMP', 'STRING'];
const value = (id: number): Record<string, unknown> => ({
  id,
  name: `customer ${id}`,
  amount: id / 7,
  active: id % 2 === 0,
  at: 1_700_000_000_000_000n + BigInt(id),
  note: 'n'.repeat(140),
});

const main = new URL('./main.ts', import.meta.url).pathname;
const flags = [
  '--rest-port',
  '0',
  '--grpc-port',
  '0',
  '--dataset',
  'd',
  '--journal-limit',
  '1000',
  ...process.argv.slice(3),
];
const child = spawn(process.execPath, [main, ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
const url = /BIGQUERY_EMULATOR_HOST=(\S+)/.exec(line)?.[1] ?? '';
const port = Number(/STORAGE_EMULATOR_HOST=\S+:(\d+)/.exec(line)?.[1]);
for (const table of ['g', 'r']) {
  const fields = FIELDS.map((field, i) => ({ name: field.name, type: COLUMNS[i] }));
  await fetch(`${url}/projects/p/datasets/d/tables`, {
    method: 'POST',
    body: JSON.stringify({ tableReference: { tableId: table }, schema: { fields } }),
  });
}
const bytes = message(FIELDS, value(1)).length;

async function measure(name: string, send: () => Promise<number>): Promise<void> {
  const before = await cpu();
  const started = performance.now();
  let count = 0;
  while (performance.now() - started < seconds * 1000) count += await send();
  const elapsed = (performance.now() - started) / 1000;
  const used = (await cpu()) - before;
  console.log(
    `${name}: ${Math.round(count / elapsed)} rows/s (${bytes} bytes a row), the fake's CPU ${((used * 1e6) / count).toFixed(2)} us a row = ${Math.round(count / used)} rows/s on a core of its own`,
  );
}

/** CPU seconds of the fake so far (Linux). */
async function cpu(): Promise<number> {
  const { readFile } = await import('node:fs/promises');
  const parts = (await readFile(`/proc/${child.pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
  return (Number(parts[11]) + Number(parts[12])) / 100;
}

const client = writeClient('p', port);
const stream = 'projects/p/datasets/d/tables/g/streams/_default';
const batch = rows(
  FIELDS,
  Array.from({ length: 1000 }, (_, id) => value(id)),
  { stream },
);
const appender = new Appender(client);
await appender.append(batch);
const later = { ...batch, protoRows: { rows: batch.protoRows?.rows ?? null } };
await measure('AppendRows, 16 in flight x 1000 rows', async () => {
  for (let i = 0; i < 16; i++) appender.send(later);
  for (let i = 0; i < 16; i++) if ((await appender.next()).error) throw new Error('refused');
  return 16_000;
});
await appender.close();
await client.close();

const list = Array.from({ length: 1000 }, (_, id) => ({
  insertId: '',
  json: { ...value(id), at: '2024-01-01 00:00:00' },
}));
let sent = 0;
await measure('insertAll, 4 in flight x 1000 rows', async () => {
  const post = async (): Promise<void> => {
    const body = JSON.stringify({ rows: list.map(row => ({ ...row, insertId: `t-0-${sent++}` })) });
    const response = await fetch(`${url}/projects/p/datasets/d/tables/r/insertAll`, { method: 'POST', body });
    if ('insertErrors' in ((await response.json()) as object)) throw new Error('refused');
  };
  await Promise.all([post(), post(), post(), post()]);
  return 4000;
});
child.kill('SIGTERM');
