/**
 * `npm run bench`: Millstream, and Apache Kafka beside it where Java is there; see README.md in this folder.
 * Every case runs interleaved (A B C C B A), so that a machine that gets slower or faster treats all alike.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startKafka } from '../test/servers/kafka.ts';
import { Millstream } from '../test/servers/millstream.ts';
import { residentBytes, sleep } from '../test/servers/process.ts';
import type { Target } from '../test/servers/target.ts';
import { Wire } from '../test/servers/wire.ts';
import { findTool } from '../test/servers/tools.ts';
import { javaCase, kcatConsume, kcatProduce, type Load } from './clients.ts';
import { syncs } from './disk.ts';
import { withJavaScriptGuests } from './javascript.ts';
import { latency } from './latency.ts';
import { Results, table } from './measure.ts';
import { recovery } from './recovery.ts';
import { transactionalClients, transactions } from './transactions.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'start,produce,consume,partitions,rate,transactions,latency,step' },
    rounds: { type: 'string', default: '1' },
    records: { type: 'string', default: '1000000' },
    gib: { type: 'string', default: '20' },
    quick: { type: 'boolean', default: false },
    'without-kafka': { type: 'boolean', default: false },
  },
});
const only = new Set(values.only.split(','));
const records100 = values.quick ? 100_000 : Number(values.records);
const load: Load = { records100, records1024: Math.round(records100 / 4) };
const rounds = values.quick ? 1 : Number(values.rounds);

const java = findTool('kafka');
const kcat = findTool('kcat');
const KAFKA = 'kafka 4.3.1';
const starters = new Map<string, () => Promise<Target>>([
  ['millstream', () => Millstream.start()],
  ['millstream, no fsync', () => Millstream.start({ config: { 'wal.fsync_on_write': false } })],
]);
if (java !== null && !values['without-kafka']) starters.set(KAFKA, () => startKafka());
else console.log('Apache Kafka is left out (no Java, or --without-kafka): no ratio will be shown');

const results = new Results();
const names = [...starters.keys()];
/** A B C C B A, as often as there are rounds. */
const order = Array.from({ length: rounds }, () => [...names, ...names.toReversed()]).flat();

/** Runs one case against every target, interleaved. A run that fails is kept as a failed line. */
async function measure(
  name: string,
  work: (target: string, run: number) => Promise<Record<string, number>>,
): Promise<void> {
  const seen = new Map<string, number>();
  for (const target of order) {
    const run = (seen.get(target) ?? 0) + 1;
    seen.set(target, run);
    try {
      results.add({ case: name, target, run, figures: await work(target, run) });
    } catch (error) {
      results.add({
        case: name,
        target,
        run,
        figures: {},
        failed: error instanceof Error ? error.message : String(error),
      });
    }
  }
}

const MIB = 1024 * 1024;

async function main(): Promise<void> {
  if (only.has('start')) {
    await measure('start', async name => {
      const target = await (starters.get(name) as () => Promise<Target>)();
      await sleep(1000);
      const figures = { first_answer_ms: target.startupMs, rss_mib: residentBytes(target.pid()) / MIB };
      await target.stop();
      return figures;
    });
  }

  const loaded = ['produce', 'consume', 'partitions', 'rate', 'transactions'].some(group => only.has(group));
  if (loaded) {
    const targets = new Map<string, Target>();
    try {
      for (const [name, start] of starters) targets.set(name, await start());
      await loadCases(name => targets.get(name) as Target);
      for (const [name, target] of targets) {
        results.add({
          case: 'after the run',
          target: name,
          run: 1,
          figures: { rss_mib: residentBytes(target.pid()) / MIB },
        });
      }
    } finally {
      for (const target of targets.values()) await target.stop();
    }
  }
  if (only.has('latency')) {
    const seconds = values.quick ? 5 : 20;
    const own = names.filter(name => name !== KAFKA);
    for (let run = 1; run <= 2 * rounds; run++) {
      results.add({ case: 'a sync of 4 KiB', target: 'disk', run, figures: await syncs(seconds / 2) });
      for (const name of run % 2 === 1 ? own : own.toReversed()) {
        const figures = await latency(5000, seconds, name === 'millstream');
        results.add({ case: 'latency through a step', target: name, run, figures });
      }
    }
  }
  if (only.has('hops')) {
    const seconds = values.quick ? 5 : 20;
    for (let run = 1; run <= 2 * rounds; run++) {
      const figures = await latency(5000, seconds, true, ({ hops, main: mainThread }) => {
        for (const each of hops)
          results.add({ case: `hop: ${each.hop}`, target: 'millstream', run, figures: each.figures });
        results.add({ case: 'main thread', target: 'millstream', run, figures: mainThread });
      });
      results.add({ case: 'latency with hops', target: 'millstream', run, figures });
    }
  }
  if (only.has('recovery')) {
    const gib = Number(values.gib);
    for (const partitions of [4, 100]) {
      await recovery(gib, partitions, (run, figures) => {
        results.add({ case: `recovery, ${partitions} partitions`, target: 'millstream', run, figures });
      });
    }
  }
  if (only.has('step')) await stepBench();

  console.log(`\n${table(results.lines, [...names, 'disk'], KAFKA)}\n\nraw lines: ${results.file}`);
}

async function loadCases(target: (name: string) => Target): Promise<void> {
  const warm: Load = { records100: Math.round(load.records100 / 5), records1024: Math.round(load.records1024 / 5) };
  const produce = ['p-100-1-none', 'p-100-all-none', 'p-1024-1-none', 'p-1024-all-none', 'p-1024-all-lz4'];
  const consume = ['c-100-none', 'c-1024-none'];
  if (java !== null) {
    // Both brokers and the disk get warm before anything counts.
    for (const name of names)
      for (const one of ['p-100-all-none', 'c-100-none']) await javaCase(one, target(name), warm, 'warm');
    if (only.has('produce')) {
      for (const one of produce) await measure(one, (name, run) => javaCase(one, target(name), load, `${run}`));
    }
    if (only.has('consume')) {
      for (const one of consume) await measure(one, (name, run) => javaCase(one, target(name), load, `${run}`));
    }
    if (only.has('partitions')) {
      const wide = { ...load, partitions: 24 };
      await measure('p-1024-all-none 24p', (name, run) =>
        javaCase('p-1024-all-none', target(name), wide, `wide${run}`),
      );
    }
    if (only.has('rate')) {
      await measure('rate-1024-all-5000', (name, run) => javaCase('rate-1024-all-5000', target(name), load, `${run}`));
    }
  } else console.log('the Java clients are left out: there is no Java');
  if (kcat !== null) {
    for (const size of [100, 1024]) {
      const topic = (run: number): string => `kcat-${size}-${run}`;
      if (only.has('produce') || only.has('consume')) {
        await measure(`kcat p-${size}`, (name, run) => kcatProduce(kcat, target(name), topic(run), size, load));
      }
      if (only.has('consume')) {
        await measure(`kcat c-${size}`, (name, run) => kcatConsume(kcat, target(name), topic(run), size, load));
      }
    }
  } else console.log('kcat is left out: it is not installed');
  if (only.has('transactions')) {
    for (const [client, open] of Object.entries(transactionalClients)) {
      await measure(`transactions, ${client}`, async (name, run) => {
        const { bootstrap } = target(name);
        const topic = `transactions-${client}-${run}`;
        const wire = await Wire.connect(bootstrap);
        await wire.createTopic(topic, 1);
        wire.close();
        return transactions(await open(bootstrap, topic, topic), values.quick ? 50 : 200);
      });
    }
  }
}

/** Modules of other systems, where test/etl/guests/build.sh has built them. */
const FOREIGN = ['redpanda-identity', 'redpanda-mask', 'fluvio-filter', 'fluvio-map']
  .map(name => fileURLToPath(new URL(`../test/etl/guests/target/guests/${name}.wasm`, import.meta.url)))
  .filter(file => existsSync(file));

/** The WebAssembly step: it has no peer beside it here, so its lines stand alone. */
async function stepBench(): Promise<void> {
  for (const module of ['pii_scrubber', ...FOREIGN]) await stepOf(module);
  await stepOf('pii_scrubber', 3);
  await withJavaScriptGuests(file => stepOf(file));
}

async function stepOf(module: string, steps = 1): Promise<void> {
  const script = fileURLToPath(new URL('./step.ts', import.meta.url));
  const quick = values.quick ? ['--seconds', '1', '--rounds', '1'] : [];
  const child = spawn(process.execPath, [script, '--module', module, '--steps', `${steps}`, ...quick], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const text of createInterface({ input: child.stdout })) {
    let parsed: Record<string, unknown>;
    try {
      parsed = JSON.parse(text) as Record<string, unknown>;
    } catch {
      continue;
    }
    const figures = Object.fromEntries(
      ['perWorker', 'cpuMicrosPerRecord', 'mainMicrosPerRecord'].map(name => [name, Number(parsed[name])]),
    );
    const chain = steps === 1 ? 'step' : `chain of ${steps}`;
    const name = `${chain} ${String(parsed['module'])}, batches of ${String(parsed['batch'])}`;
    results.add({ case: name, target: 'millstream', run: Number(parsed['round']), figures });
  }
}

await main();
