/**
 * kill -9 at random times while idempotent producers write: after every restart each acked record is there once, in
 * order, and so are the acked commits of a group. 20 rounds here; `npm run soak -- kill` runs 100.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nodeDisk } from '../../core/base/node-disk.ts';
import { seededRandom } from '../../core/base/random.ts';
import { verifyData } from '../../core/broker/verify-data.ts';
import { startKafka } from '../servers/kafka.ts';
import { Millstream } from '../servers/millstream.ts';
import { eventually, sleep } from '../servers/process.ts';
import { type KillableTarget, targetKind } from '../servers/target.ts';
import { requireTool } from '../servers/tools.ts';
import { Wire } from '../servers/wire.ts';
import { startConfluent } from './producers/confluent.ts';
import { startKafkajs } from './producers/kafkajs.ts';
import type { Producer } from './producers/producer.ts';
import { startRaw } from './producers/raw.ts';
import { countOr, report, seedFor } from './settings.ts';
import { Verifier } from './verifier.ts';

const PARTITIONS = 3;
const python = requireTool('confluent');

const startTarget = (): Promise<KillableTarget> =>
  targetKind() === 'kafka'
    ? startKafka()
    : // Small segments, so that kills fall on segment rolls too.
      Millstream.start({ config: { 'wal.segment_size_bytes': 1024 * 1024 } });

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

test('acked records and commits outlive kill -9', { timeout: 3_600_000 }, async () => {
  const rounds = countOr(20);
  const seed = seedFor('kill');
  const random = seededRandom(seed);
  const server = await startTarget();
  const producers: Producer[] = [];
  try {
    const wire = await Wire.connect(server.bootstrap);
    for (const topic of ['raw', 'kafkajs', 'confluent']) {
      await wire.createTopic(topic, PARTITIONS);
      await eventually('the topic', async () => (await wire.listOffset(topic, 2, -1)).error === 0 || undefined);
    }
    await eventually('a coordinator', async () => (await wire.findCoordinator('kill')) === 0 || undefined);
    wire.close();
    producers.push(await startRaw(server.bootstrap, 'raw', PARTITIONS, random));
    producers.push(await startKafkajs(server.bootstrap, 'kafkajs', PARTITIONS));
    if (python !== null) producers.push(await startConfluent(python, server.bootstrap, 'confluent', PARTITIONS));
    const verifiers = producers.map(producer => new Verifier(server.bootstrap, producer));
    const total = (producer: Producer): number => producer.acked.reduce((sum, n) => sum + n, 0);

    let doubleKills = 0;
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
        async () => (await committer.commitOffset('kill', 'raw', 0, round)) === 0 || undefined,
      );
      committer.close();
      await sleep(random.float() * 400);
      await server.kill9();
      // Now and then the next kill falls into the recovery.
      if (server instanceof Millstream && random.float() < 0.25) {
        doubleKills++;
        server.spawn();
        await sleep(random.float() * 400);
        await server.kill9();
      }
      await expectSound(server);
      await server.restart();
      for (const verifier of verifiers) await verifier.check();
      const reader = await Wire.connect(server.bootstrap);
      const committed = await eventually('the commit', async () => {
        const answer = await reader.fetchOffset('kill', 'raw', 0);
        return answer.error === 0 ? answer.offset : undefined;
      });
      reader.close();
      expect(committed).toBe(round);
    }

    await Promise.all(producers.map(producer => producer.finish()));
    for (const verifier of verifiers) await verifier.check();
    // And all of it once more from the start: what was read beside the run is what is there.
    const again = producers.map(producer => new Verifier(server.bootstrap, producer));
    for (const verifier of again) await verifier.check();
    expect(again.map(verifier => verifier.records)).toEqual(verifiers.map(verifier => verifier.records));
    for (const producer of producers) expect(total(producer)).toBeGreaterThan(rounds);
    report('kill', {
      seed,
      rounds,
      doubleKills,
      records: Object.fromEntries(producers.map((producer, i) => [producer.name, verifiers[i]?.records])),
      unknown: Object.fromEntries(producers.map(p => [p.name, p.unknown.reduce((sum, set) => sum + set.size, 0)])),
    });
  } finally {
    for (const producer of producers) producer.violation ??= 'the test is over';
    await Promise.race([Promise.allSettled(producers.map(producer => producer.finish())), sleep(10_000)]);
    await server.stop();
  }
});
