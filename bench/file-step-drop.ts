/**
 * Whole processes, a file of lines of 200 bytes -> one step -> away: Millstream (default settings: both topics on disk,
 * exactly once, one AssemblyScript step that masks the e-mail) beside Benthos (nothing on disk, output `drop`) with a
 * WebAssembly guest that only copies, and with a mapping that sets the e-mail to a constant: both do less than our step.
 * CPU is user + system of the whole process from its start to its last record. Order A B C C B A in each round.
 *
 *   node bench/file-step-drop.ts [--records 1000000] [--rounds 1]
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { assemble } from '../test/etl/sandbox/guests.ts';
import { Millstream } from '../test/servers/millstream.ts';
import { cpuSeconds, eventually } from '../test/servers/process.ts';
import { findTool } from '../test/servers/tools.ts';
import { Results, table } from './measure.ts';

const { values } = parseArgs({
  options: { records: { type: 'string', default: '1000000' }, rounds: { type: 'string', default: '1' } },
});
const records = Number(values.records);
const BATCH = 500;
const OURS = 'millstream';

const COPY = `(module
  (import "benthos_wasm" "v0_msg_as_bytes" (func $take (result i64)))
  (import "benthos_wasm" "v0_msg_set_bytes" (func $give (param i32 i32)))
  (memory (export "memory") 2)
  (func (export "allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "process") (local $m i64) (local $n i32)
    (local.set $m (call $take))
    (local.set $n (i32.wrap_i64 (local.get $m)))
    (memory.copy (i32.const 65536) (i32.wrap_i64 (i64.shr_u (local.get $m) (i64.const 32))) (local.get $n))
    (call $give (i32.const 65536) (local.get $n))))`;

const folder = mkdtempSync(join(tmpdir(), 'file-step-drop-'));
const input = join(folder, 'in.ndjson');
const guest = join(folder, 'copy.wasm');

function line(i: number): string {
  const json = JSON.stringify({
    id: `o-${i}`,
    total: 12.5 + (i % 100),
    items: [{ sku: 'a-1', n: 2 }],
    customer: { name: 'Ada "the first" Lovelace', email: `ada${i % 1000}@example.com` },
    note: '',
  });
  return json.replace('"note":""', `"note":"${'x'.repeat(Math.max(0, 200 - json.length))}"`);
}

function figuresOf(seconds: number, cpu: number): Record<string, number> {
  return { records_per_s: records / seconds, records_per_cpu_s: records / cpu };
}

async function millstream(): Promise<Record<string, number>> {
  const server = await Millstream.prepare({ config: { 'broker.default_partitions': 1, 'etl.workers': 1 } });
  try {
    writeFileSync(
      join(server.folder, 'pipelines/scrub.toml'),
      `name = "scrub"\n[source.file]\npath = ${JSON.stringify(input)}\n` +
        '[[step]]\nname = "mask"\nmodule = "pii_scrubber"\nconfig = { fields = ["customer.email"] }\n',
    );
    const began = performance.now();
    await server.restart();
    await eventually(
      'all records are through',
      async () => {
        const answer = await fetch(`${server.httpUrl}/api/v1/pipelines`);
        const { pipelines } = (await answer.json()) as { pipelines: { records: number }[] };
        return (pipelines[0]?.records ?? 0) >= records || undefined;
      },
      600_000,
    );
    return figuresOf((performance.now() - began) / 1000, cpuSeconds(server.pid()));
  } finally {
    await server.stop();
  }
}

async function benthos(program: string, processor: object): Promise<Record<string, number>> {
  const file = join(folder, 'benthos.json');
  const source = { file: { paths: [input], scanner: { lines: {} } } };
  const config = {
    http: { enabled: false },
    logger: { level: 'ERROR' },
    input: { broker: { inputs: [source], batching: { count: BATCH } } },
    pipeline: { threads: 2, processors: [processor] },
    output: { drop: {} },
  };
  writeFileSync(file, JSON.stringify(config));
  const began = performance.now();
  // The shell's `times` tells what its child has used, also once it is gone.
  const shell = spawn('bash', ['-c', '"$0" -c "$1" >&2 || exit; times', program, file], {
    env: { ...process.env, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [said, complaints] = ['', ''];
  shell.stdout.on('data', (text: Buffer) => (said += text.toString()));
  shell.stderr.on('data', (text: Buffer) => (complaints += text.toString()));
  const code = await new Promise<number | null>(resolve => shell.on('close', resolve));
  const seconds = (performance.now() - began) / 1000;
  if (code !== 0 || complaints !== '') throw new Error(`benthos: ${code}: ${complaints.slice(0, 500)}`);
  const used = [...(said.trim().split('\n')[1] ?? '').matchAll(/(\d+)m([\d.]+)s/g)];
  return figuresOf(
    seconds,
    used.reduce((sum, [, minutes, rest]) => sum + Number(minutes) * 60 + Number(rest), 0),
  );
}

writeFileSync(guest, assemble(COPY));
writeFileSync(input, Array.from({ length: records }, (_, i) => `${line(i)}\n`).join(''));
const targets = new Map<string, () => Promise<Record<string, number>>>([[OURS, millstream]]);
const program = findTool('benthos');
if (program === null) console.log('Benthos is left out: run bench/peers/benthos.sh (it needs Go)');
else {
  targets.set('benthos, wasm', () => benthos(program, { wasm: { module_path: guest } }));
  targets.set('benthos, mapping', () => benthos(program, { mapping: 'root = this\nroot.customer.email = "***@***"' }));
}
const results = new Results();
const names = [...targets.keys()];
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [half, order] of [names, names.toReversed()].entries()) {
    for (const name of order) {
      const figures = await (targets.get(name) as () => Promise<Record<string, number>>)();
      results.add({ case: `file, step, drop, ${records} records`, target: name, run: 2 * round + half + 1, figures });
    }
  }
}
rmSync(folder, { recursive: true });
for (const peer of names.slice(1)) console.log(`\nbeside ${peer}\n${table(results.lines, [OURS, peer], peer)}`);
console.log(`\nraw lines: ${results.file}`);
