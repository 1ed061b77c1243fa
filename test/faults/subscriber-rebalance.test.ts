/**
 * Two BigQuery subscribers of one topic, real processes: one joins, one is killed, one is stopped past its session timeout
 * (SIGSTOP) and goes on when its partitions are another's (SIGCONT). What SQL finds is what the source comes to, exactly
 * once in each way of writing that promises it; else with copies only of what one who was killed or stood still had written
 * or read and not committed. `npm run soak -- rebalance` goes through it ten times.
 */
import { expect, test } from 'vitest';
import { Admin } from '../../core/client/admin.ts';
import { kafkaProcess } from '../core/engine/kafka-fixture.ts';
import { start as startBigQuery } from '../servers/bigquery/start.ts';
import { KafkaProxy } from '../servers/kafka-proxy.ts';
import { Millstream } from '../servers/millstream.ts';
import { freePorts } from '../servers/process.ts';
import { Subscriber } from '../servers/subscriber.ts';
import { Wire } from '../servers/wire.ts';
import { countOr, report } from './settings.ts';
import { idOf, installPipeline, makeTopics, Orders, recordsOf } from './subscriber/orders.ts';
import { Pair } from './subscriber/pair.ts';
import { DATASET, deadTopicOf, endpointsOf, makeTable, PROJECT, subscriberToml, WAYS } from './subscriber/ways.ts';

/** The shortest that brokers allow. */
const SESSION = 'session_timeout = "6s"';

test('no row is lost and none is doubled, whoever of two subscribers comes, dies or stands still', {
  timeout: 3_600_000,
}, async () => {
  const cycles = countOr(2);
  const fake = await startBigQuery({ project: PROJECT, datasets: [DATASET] });
  const pairs: Pair[] = [];
  const processes: Subscriber[] = [];
  const [port = 0] = await freePorts(1);
  const broker = await Millstream.prepare({ config: { 'network.advertised': `127.0.0.1:${port}` } });
  const proxy = await KafkaProxy.start(
    port,
    () => broker.kafkaPort,
    (apiKey, frame) => pairs.map(pair => pair.judge(apiKey, frame)).find(verdict => verdict !== 'pass') ?? 'pass',
  );
  const operator = kafkaProcess(broker.bootstrap);
  const orders = new Orders(broker);
  let wire: Wire | null = null;
  try {
    await installPipeline(broker);
    await broker.restart();
    await makeTopics(broker, WAYS.map(deadTopicOf));
    wire = await Wire.connect(broker.bootstrap);
    for (const way of WAYS) {
      await makeTable(fake.restUrl, way);
      const prepare = (): Promise<Subscriber> =>
        Subscriber.prepare(endpointsOf(fake), subscriberToml(way, `127.0.0.1:${port}`, SESSION));
      const both = [await prepare(), await prepare()] as const;
      processes.push(...both);
      pairs.push(
        new Pair({
          way,
          processes: both,
          fake,
          wire,
          describe: group => new Admin(operator.cluster).groups.describe(group),
          produce: count => orders.produce(count),
          due: () => orders.due(),
        }),
      );
    }
    await orders.produce(50);
    await Promise.all(
      pairs.map(async pair => {
        await pair.begin();
        for (let i = 0; i < cycles; i++) await pair.cycle(i % 2 === 0 ? 'at rows' : 'at a commit');
      }),
    );
    const wrong = await Promise.all(
      pairs.map(pair => pair.finish(async () => (await recordsOf(broker.bootstrap, deadTopicOf(pair.way))).map(idOf))),
    );
    const figures = Object.fromEntries(pairs.map(pair => [pair.way, pair.counts]));
    console.table(figures);
    expect(wrong).toEqual(pairs.map(() => null));
    // Zombies that write to a stream are refused; a pending stream is the zombie's own, and nobody ever shows it.
    for (const { way, counts } of cycles >= 10 ? pairs : []) {
      if (way === 'committed' || way === 'buffered') expect(counts.refusedZombieWrites, way).toBeGreaterThan(0);
    }
    const { rows } = await orders.due();
    report('rebalance', { cycles, ways: figures, rows: rows.length });
  } finally {
    wire?.close();
    orders.close();
    await operator.close();
    for (const process of processes) await process.remove();
    await proxy.close();
    await broker.stop();
    await fake.close();
  }
});
