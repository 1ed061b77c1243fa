/**
 * Transactional copiers of stock clients, killed at random times, doubled, and with the broker killed under them, beside
 * writers that abort and writers that die inside their transactions. What they copy is read once, in order, by readers
 * of committed records; those who ask for everything see the aborted records too; who was succeeded is fenced; and no
 * transaction holds the last stable offset for longer than its timeout. 10 kills here; `npm run soak -- copiers` does 50.
 * `TARGET=kafka` asks the same of Apache Kafka.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nodeDisk } from '../../core/base/node-disk.ts';
import { type Random, seededRandom } from '../../core/base/random.ts';
import { verifyData } from '../../core/broker/verify-data.ts';
import { startKafka } from '../servers/kafka.ts';
import { Millstream } from '../servers/millstream.ts';
import { eventually, sleep } from '../servers/process.ts';
import { type KillableTarget, targetKind } from '../servers/target.ts';
import { Wire } from '../servers/wire.ts';
import { Copier, type CopierJob, type CopierKind, copierKinds } from './copiers/copier.ts';
import { Copied } from './copiers/copied.ts';
import { Writer } from './copiers/writers.ts';
import { countOr, report, seedFor } from './settings.ts';

const TIMEOUT_MS = 2000;
const isTalkative = process.env['DEBUG_COPIERS'] !== undefined;

interface Run {
  kind: CopierKind;
  job: CopierJob;
  writer: Writer;
  copied: Copied;
  kills: number;
  zombies: number;
  fenced: number;
  /** Ended by themselves without being told, and were started again. */
  restarts: number;
  current: Copier | null;
}

const startTarget = (): Promise<KillableTarget> =>
  targetKind() === 'kafka'
    ? // Timeouts are looked for every ten seconds by default.
      startKafka({ 'transaction.abort.timed.out.transaction.cleanup.interval.ms': '500' })
    : Millstream.start({ config: { 'wal.segment_size_bytes': 1024 * 1024 }, readyMs: 60_000 });

async function startRun(server: KillableTarget, kind: CopierKind): Promise<Run> {
  const { bootstrap } = server;
  const name = kind.name.toLowerCase();
  const [from, to] = [`${name}.in`, `${name}.out`];
  const wire = await Wire.connect(bootstrap);
  for (const topic of [from, to]) {
    await wire.createTopic(topic, kind.partitions);
    await eventually(
      'the topic',
      async () => (await wire.listOffset(topic, kind.partitions - 1, -1)).error === 0 || undefined,
    );
  }
  wire.close();
  const { partitions } = kind;
  const job = { bootstrap, from, to, id: `${name}-copier`, partitions, transactionTimeoutMs: TIMEOUT_MS };
  const writer = new Writer(bootstrap, { topic: from, partitions }, { topic: to, partitions }, TIMEOUT_MS);
  writer.start();
  const copied = new Copied(job, writer);
  return { kind, job, writer, copied, kills: 0, zombies: 0, fenced: 0, restarts: 0, current: null };
}

/** A copier that has committed something in this life. */
async function working(run: Run): Promise<Copier> {
  for (;;) {
    const copier = run.current?.alive ? run.current : new Copier(run.kind, run.job);
    run.current = copier;
    if (await copier.working()) return copier;
    if (isTalkative) console.log(run.kind.name, await copier.end(0), copier.output.slice(0, 300));
    run.restarts++;
    run.current = null;
    await sleep(50);
  }
}

/** The old one is stopped, perhaps inside a transaction; a new one takes over; the old one goes on, and must not. */
async function zombie(run: Run, old: Copier): Promise<void> {
  old.signal('SIGSTOP');
  run.current = null;
  await working(run);
  old.signal('SIGCONT');
  const end = await old.end(120_000);
  if (isTalkative) console.log(`${run.kind.name}: zombie ${end}`);
  // Kafka's own copier ends by itself once it is where the input ended when it began; any of them may have been stopped
  // in a request for longer than that may take. What counts is that it ends, and what the output holds.
  expect(end).not.toBe('running');
  run.zombies++;
  if (end === 'fenced') run.fenced++;
}

async function killThem(run: Run, kills: number, random: Random): Promise<void> {
  for (let n = 1; n <= kills; n++) {
    const copier = await working(run);
    await sleep(random.float() * 300);
    if (n % 3 === 0 && copier.alive) await zombie(run, copier);
    await run.current?.kill();
    run.kills++;
    if (isTalkative) console.log(`${run.kind.name}: kill ${n}`);
  }
}

async function killBroker(server: KillableTarget, runs: readonly Run[]): Promise<void> {
  for (const { writer } of runs) writer.pause(true);
  await server.kill9();
  if (server instanceof Millstream) {
    const directories = { logDirectory: join(server.dataDir, 'log'), metaDirectory: join(server.dataDir, 'meta') };
    const { findings } = await verifyData({ disk: nodeDisk, ...directories });
    expect(findings.filter(finding => finding.severity === 'problem')).toEqual([]);
  }
  await server.restart();
  for (const { writer } of runs) writer.pause(false);
}

test('copiers in transactions outlive kills, each record once', { timeout: 3_600_000 }, async () => {
  const kills = countOr(10);
  const seed = seedFor('copiers');
  const random = seededRandom(seed);
  const server = await startTarget();
  const runs: Run[] = [];
  let brokerKills = 0;
  try {
    for (const kind of copierKinds()) runs.push(await startRun(server, kind));
    const shares = runs.reduce((sum, { kind }) => sum + kind.share, 0);
    const state = { over: false };
    const killing = Promise.all(
      runs.map(run => killThem(run, Math.ceil((kills * run.kind.share) / shares - 1e-9), random)),
    ).finally(() => {
      state.over = true;
    });
    killing.catch(() => {});
    // The broker dies after every fifth kill of a copier, at a random time.
    while (!state.over) {
      await sleep(random.float() * 400);
      if (runs.reduce((sum, run) => sum + run.kills, 0) < 5 * (brokerKills + 1) - 2) continue;
      await killBroker(server, runs);
      brokerKills++;
    }
    await killing;

    await Promise.all(runs.map(({ writer }) => writer.stop()));
    for (const run of runs) {
      // The last copier goes on until everything is there.
      await eventually(
        `${run.kind.name}: everything is copied`,
        async () => {
          if (!run.current?.alive) run.current = new Copier(run.kind, run.job);
          return (await run.copied.missing()) === 0 || undefined;
        },
        120_000,
      );
      await run.current?.kill();
      await run.copied.check();
      // The last transaction that nobody ended has run into its timeout by then.
      await eventually(`${run.kind.name}: nothing is open`, async () => (await run.copied.open()) === 0 || undefined);
    }
    const figures = runs.map(({ kind, copied, writer, ...run }) => ({
      client: kind.name,
      kills: run.kills,
      zombies: run.zombies,
      fenced: run.fenced,
      restarts: run.restarts,
      records: copied.records,
      aborted: writer.aborted.length,
      left: writer.left.length,
    }));
    console.table(figures);
    const sum = (of: (run: Run) => number): number => runs.reduce((all, run) => all + of(run), 0);
    expect(sum(run => run.kills)).toBeGreaterThanOrEqual(kills);
    if (sum(run => run.zombies) > 0) expect(sum(run => run.fenced)).toBeGreaterThan(0);
    report('copiers', { target: server.kind, seed, brokerKills, clients: figures });
  } finally {
    for (const { writer, current } of runs) {
      current?.signal('SIGKILL');
      await Promise.race([writer.stop().catch(() => {}), sleep(5000)]);
    }
    await server.stop();
  }
});
