/**
 * kill -9 while idempotent producers write and pipelines work on what they write: after every restart each acked record
 * is there once, in order, and so are the acked commits of a group; outputs, dead letters and the files of the sinks are
 * exactly those of the records. The kills aim at appends, commits and recoveries (points/), and where each really fell
 * is counted. 20 rounds here; `npm run soak -- kill` runs 100.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fileSink } from '../../connectors/file/sink.ts';
import { nodeDisk } from '../../core/base/node-disk.ts';
import { type Random, seededRandom } from '../../core/base/random.ts';
import { verifyData } from '../../core/broker/verify-data.ts';
import { startKafka } from '../servers/kafka.ts';
import { Millstream } from '../servers/millstream.ts';
import { eventually, sleep } from '../servers/process.ts';
import { type KillableTarget, targetKind } from '../servers/target.ts';
import { requireTool } from '../servers/tools.ts';
import { Wire } from '../servers/wire.ts';
import { KillPipelines } from './kill-pipelines.ts';
import { type Aim, KillPoints } from './points/kill-points.ts';
import { startConfluent } from './producers/confluent.ts';
import { startKafkajs } from './producers/kafkajs.ts';
import type { Producer } from './producers/producer.ts';
import { startRaw } from './producers/raw.ts';
import { countOr, report, seedFor } from './settings.ts';
import { Verifier } from './verifier.ts';

/** Partitions of each of the three producers, in one topic. */
const OWN = 2;
const PARTITIONS = 3 * OWN;
const TOPIC = 'orders';
const AIMS: readonly Aim[] = ['any', 'append', 'commit', 'recovery'];
const python = requireTool('confluent');

/** What the kill left may end in a torn tail, but nothing below may be damaged or lost. */
async function expectSound(server: KillableTarget): Promise<void> {
  if (!(server instanceof Millstream)) return;
  const { findings } = await verifyData({
    disk: nodeDisk,
    logDirectory: join(server.dataDir, 'log'),
    metaDirectory: join(server.dataDir, 'meta'),
  });
  expect(findings.filter(finding => finding.severity === 'problem')).toEqual([]);
}

/** Of every four rounds one aims at each point; which first is chance. */
function aimOf(round: number, random: Random, deck: Aim[]): Aim {
  if (round % AIMS.length === 1) deck.push(...AIMS);
  return deck.splice(Math.floor(random.float() * deck.length), 1)[0] ?? 'any';
}

/** One round's kill, or two: into a recovery goes a second one. */
async function killIn(server: KillableTarget, points: KillPoints, aim: Aim, random: Random): Promise<void> {
  if (!(server instanceof Millstream)) {
    await sleep(random.float() * 400);
    await server.kill9();
    return;
  }
  // Not always at the beginning of the run's first append: some time passes, and then the point is looked for.
  if (aim === 'recovery') await points.kill(server, 'any', random.float() * 400);
  else if (aim !== 'any') await sleep(random.float() * 300);
  if (aim === 'recovery') {
    points.reset();
    server.spawn();
    await points.kill(server, aim, random.float() * 30);
  } else await points.kill(server, aim, aim === 'any' ? random.float() * 400 : random.float() * 0.3);
  points.reset();
}

test('acked records, commits, outputs and dead letters outlive kill -9', { timeout: 3_600_000 }, async () => {
  const rounds = countOr(20);
  const seed = seedFor('kill');
  const random = seededRandom(seed);
  const folder = mkdtempSync(join(tmpdir(), 'kill-points-'));
  const points = new KillPoints(folder);
  const exactlyOnce = fileSink().caps({ path: 'x', envelope: false }).guarantee === 'exactly-once';
  const flow = new KillPipelines(PARTITIONS, exactlyOnce);
  // Small segments, so that kills fall on segment rolls too.
  const config = { 'wal.segment_size_bytes': 1024 * 1024 };
  const server: KillableTarget =
    targetKind() === 'kafka'
      ? await startKafka()
      : await Millstream.start({ config, preload: points.preload, readyMs: 60_000 });
  const hasPipelines = server instanceof Millstream;
  const producers: Producer[] = [];
  try {
    const wire = await Wire.connect(server.bootstrap);
    await wire.createTopic(TOPIC, PARTITIONS);
    await eventually('the topic', async () => (await wire.listOffset(TOPIC, 5, -1)).error === 0 || undefined);
    await eventually('a coordinator', async () => (await wire.findCoordinator('kill')) === 0 || undefined);
    wire.close();
    if (hasPipelines) {
      flow.install(server);
      await server.terminate();
      await server.restart();
    }
    producers.push(await startRaw(server.bootstrap, TOPIC, OWN, random));
    producers.push(await startKafkajs(server.bootstrap, TOPIC, OWN, OWN));
    if (python !== null) producers.push(await startConfluent(python, server.bootstrap, TOPIC, OWN, 2 * OWN));
    const verifiers = producers.map(producer => new Verifier(server.bootstrap, producer, flow.source));
    const total = (producer: Producer): number => producer.acked.reduce((sum, n) => sum + n, 0);
    const check = async (): Promise<void> => {
      const reader = await Wire.connect(server.bootstrap);
      // Outputs before what they are made of: then nothing can be there whose source was not read.
      if (hasPipelines) await flow.read(reader);
      reader.close();
      for (const verifier of verifiers) await verifier.check();
      flow.check();
    };
    if (hasPipelines) {
      await eventually(
        'the outputs',
        async () => {
          const reader = await Wire.connect(server.bootstrap);
          const found = await Promise.all(flow.topics.map(topic => reader.listOffset(topic, 0, -1)));
          reader.close();
          return found.every(({ error }) => error === 0) || undefined;
        },
        120_000,
      );
    }

    const deck: Aim[] = [];
    for (let round = 1; round <= rounds; round++) {
      // No round is empty: every producer gets something acked before the kill.
      const before = producers.map(total);
      await eventually(
        `round ${round}: acks for every producer`,
        () => producers.every((p, i) => p.violation !== undefined || total(p) > (before[i] ?? 0)) || undefined,
        60_000,
      );
      const committer = await Wire.connect(server.bootstrap);
      await eventually(
        'a commit',
        async () => (await committer.commitOffset('kill', TOPIC, 0, round)) === 0 || undefined,
      );
      committer.close();
      const aim = aimOf(round, random, deck);
      await killIn(server, points, aim, random);
      await expectSound(server);
      await server.restart();
      await check();
      const reader = await Wire.connect(server.bootstrap);
      const committed = await eventually('the commit', async () => {
        const answer = await reader.fetchOffset('kill', TOPIC, 0);
        return answer.error === 0 ? answer.offset : undefined;
      });
      reader.close();
      expect(committed).toBe(round);
    }

    await Promise.all(producers.map(producer => producer.finish()));
    await check();
    // And all of it once more from the start: what was read beside the run is what is there.
    const again = producers.map(producer => new Verifier(server.bootstrap, producer));
    for (const verifier of again) await verifier.check();
    expect(again.map(verifier => verifier.records)).toEqual(verifiers.map(verifier => verifier.records));
    for (const producer of producers) expect(total(producer)).toBeGreaterThan(rounds);
    let sinks: ReturnType<KillPipelines['sinks']> | null = null;
    if (hasPipelines) {
      const done = async (): Promise<true | undefined> => {
        await check();
        return flow.missing() === 0 || undefined;
      };
      await eventually('all outputs', done, 120_000);
      const end = performance.now() + 60_000;
      for (sinks = flow.sinks(server.folder); sinks.wrong !== null && performance.now() < end; ) {
        await sleep(500);
        sinks = flow.sinks(server.folder);
      }
      expect(sinks.wrong).toBeNull();
      const table = points.table();
      console.table(table);
      const all = table['all'] ?? {};
      expect((all['inside any'] ?? 0) / (all['kills'] ?? 1)).toBeGreaterThanOrEqual(0.3);
      // Every point was met, unless the run is too short for that.
      if (rounds >= 20)
        for (const kind of ['in an append', 'in a commit', 'in recovery']) expect(all[kind]).toBeGreaterThan(0);
    }
    report('kill', {
      seed,
      rounds,
      kills: points.table(),
      records: Object.fromEntries(producers.map((producer, i) => [producer.name, verifiers[i]?.records])),
      unknown: Object.fromEntries(producers.map(p => [p.name, p.unknown.reduce((sum, set) => sum + set.size, 0)])),
      outputs: flow.records,
      sinks: sinks && { lines: sinks.lines, repeated: sinks.repeated, exactlyOnce },
    });
  } finally {
    for (const producer of producers) producer.violation ??= 'the test is over';
    await Promise.race([Promise.allSettled(producers.map(producer => producer.finish())), sleep(10_000)]);
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
