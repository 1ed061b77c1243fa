/**
 * Records per second and worker through one AssemblyScript step with a JSON path (`pii_scrubber`, e-mail masked), the hop
 * to the worker and back included: raw RecordBatches in, finished RecordBatches out. One JSON object a line.
 *
 *   node bench/step.ts [--seconds 2] [--rounds 3] [--workers 1] [--module pii_scrubber | FILE.wasm] [--codec none]
 *     [--fuel 1000000]
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../core/base/clock.ts';
import { silentLogger } from '../core/base/logger.ts';
import { Metrics } from '../core/base/metrics.ts';
import { parseToml } from '../core/config/toml.ts';
import { type Codec, encodeBatch } from '../core/engine/records.ts';
import { ModuleStore } from '../etl/sandbox/module-store.ts';
import { openSandbox } from '../etl/sandbox/pool.ts';
import type { ChainSpec, Lane, Sandbox, StoredModule } from '../etl/sandbox/sandbox.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    workers: { type: 'string', default: '1' },
    module: { type: 'string', default: 'pii_scrubber' },
    steps: { type: 'string', default: '1' },
    codec: { type: 'string', default: 'none' },
    fuel: { type: 'string' },
  },
});
const seconds = Number(values.seconds);
const workers = Number(values.workers);
const steps = Number(values.steps);
const codec = values.codec as Codec;
const fuel = values.fuel === undefined ? null : Number(values.fuel);
/** Tasks that the runner keeps in a lane (etl/runner). */
const IN_LANE = 3;

interface Shape {
  name: string;
  recordsPerBatch: number;
  batchesPerTask: number;
}
const SHAPES: Shape[] = [
  { name: '500', recordsPerBatch: 500, batchesPerTask: 1 },
  { name: '50, merged', recordsPerBatch: 50, batchesPerTask: 20 },
  { name: '50', recordsPerBatch: 50, batchesPerTask: 1 },
  { name: '1, merged', recordsPerBatch: 1, batchesPerTask: 1000 },
];

function loadModule(): StoredModule {
  if (values.module.endsWith('.wasm')) {
    const name = basename(values.module, '.wasm').toLowerCase();
    return new ModuleStore().add(readFileSync(values.module), { name, version: '0.0.0' });
  }
  const store = ModuleStore.load({
    directories: [fileURLToPath(new URL('../modules', import.meta.url))],
    parseToml: (text, file) => parseToml(text, file).document?.value,
  });
  const module = store.get(values.module);
  if (!module) throw new Error(`there is no module ${values.module}`);
  return module;
}

/** 200 bytes of JSON, a key, a header. */
function recordOf(i: number): { timestamp: number; key: Buffer; value: Buffer; headers: [string, Buffer][] } {
  const json = JSON.stringify({
    id: `o-${i}`,
    total: 12.5 + (i % 100),
    items: [{ sku: 'a-1', n: 2 }],
    customer: { name: 'Ada "the first" Lovelace', email: `ada${i % 1000}@example.com` },
    note: '',
  });
  const value = Buffer.from(json.replace('"note":""', `"note":"${'x'.repeat(Math.max(0, 200 - json.length))}"`));
  return {
    timestamp: 1_700_000_000_000 + i,
    key: Buffer.from(`k-${i % 97}`),
    value,
    headers: [['trace', Buffer.from('t-1')]],
  };
}

function templateOf({ recordsPerBatch, batchesPerTask }: Shape): Uint8Array {
  const batches = Array.from({ length: batchesPerTask }, (_, b) =>
    encodeBatch(
      Array.from({ length: recordsPerBatch }, (_unused, i) => recordOf(b * recordsPerBatch + i)),
      { codec, baseOffset: b * recordsPerBatch },
    ),
  );
  return Buffer.concat(batches);
}

function chainOf(partition: number): ChainSpec {
  const module = loadModule();
  return {
    pipeline: 'bench',
    steps: Array.from({ length: steps }, (_, i) => ({
      name: `scrub${i}`,
      module,
      config: values.module === 'pii_scrubber' ? { fields: ['customer.email'] } : {},
      onError: 'dead_letter',
      // A component has its engine with it.
      memoryBytes: (module.abi === 'millstream-component' ? 64 : 16) * 1024 * 1024,
      timeMs: 5000,
      initTimeMs: 10_000,
      fuel,
      maxFailuresInARow: null,
    })),
    outputs: [{ name: 'default', topic: 'bench.out', rehashPartitions: null, codec }],
    source: { topic: 'bench', topicId: '0'.repeat(32), partition },
  };
}

/** Keeps a lane full until the time is up; returns the records that went through. */
async function pump(lane: Lane, template: Uint8Array, until: number): Promise<number> {
  const free: ArrayBuffer[] = [];
  let records = 0;
  const one = async (): Promise<void> => {
    while (performance.now() < until) {
      const buffer = free.pop() ?? new ArrayBuffer(template.length);
      const batches = new Uint8Array(buffer);
      batches.set(template);
      const result = await lane.run({ batches, from: 0, samples: 0 });
      records += result.records;
      if (result.dead || result.outputs.length !== 1) throw new Error('the step did not do its work');
      if (result.recycled) free.push(result.recycled);
    }
  };
  await Promise.all(Array.from({ length: IN_LANE }, one));
  return records;
}

async function measure(sandbox: Sandbox, shape: Shape, round: number): Promise<void> {
  const template = templateOf(shape);
  const lanes = Array.from({ length: workers }, (_, i) => sandbox.openLane(chainOf(i)));
  const fill = (ms: number): Promise<number[]> =>
    Promise.all(lanes.map(lane => pump(lane, template, performance.now() + ms)));
  await fill(500);
  const [cpu, main, started] = [process.cpuUsage(), process.threadCpuUsage(), performance.now()];
  const counts = await fill(seconds * 1000);
  const elapsed = (performance.now() - started) / 1000;
  const [used, mainUsed] = [process.cpuUsage(cpu), process.threadCpuUsage(main)];
  const records = counts.reduce((sum, count) => sum + count, 0);
  await Promise.all(lanes.map(lane => lane.close()));
  const perRecord = (usage: { user: number; system: number }): number => round3((usage.user + usage.system) / records);
  console.log(
    JSON.stringify({
      bench: 'step',
      batch: shape.name,
      module: basename(values.module, '.wasm'),
      steps,
      codec,
      fuel,
      workers,
      round,
      recordsPerSecond: Math.round(records / elapsed),
      perWorker: Math.round(records / elapsed / workers),
      cpuMicrosPerRecord: perRecord(used),
      mainMicrosPerRecord: perRecord(mainUsed),
      bytesPerRecord: Math.round(template.length / shape.recordsPerBatch / shape.batchesPerTask),
      node: process.version,
    }),
  );
}

function round3(value: number): number {
  return Math.round(value * 1000) / 1000;
}

const sandbox = openSandbox({ clock: systemClock, logger: silentLogger, metrics: new Metrics(), workers });
for (let round = 1; round <= Number(values.rounds); round++) {
  // There and back, so that no shape always runs first.
  for (const shape of round % 2 === 1 ? SHAPES : SHAPES.toReversed()) await measure(sandbox, shape, round);
}
await sandbox.close();
