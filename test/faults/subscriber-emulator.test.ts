/**
 * The subscriber against a BigQuery that others wrote (bqemulator), killed again and again: a second opinion beside our
 * own fake. Where bqemulator 1.4.0 is known to depart from BigQuery it is not asked:
 * - it takes any text as GEOGRAPHY and names no bad row of a request: `place` is a STRING here, and the rows that are
 *   refused are those that our encoder refuses;
 * - it has no insertId: what is inserted twice is there twice, so copies are counted as for the default stream;
 * - FlushRows leaves out the row of its offset and refuses what was flushed before: no buffered streams;
 * - of a stream that is committed again, as whoever takes over from a dead process does, it says INVALID_STREAM_STATE and
 *   not STREAM_ALREADY_COMMITTED: no pending streams;
 * - it serves six calls at a time, and each open append is one: one way of writing after the other.
 * `npm run test:bqemulator` runs it.
 */
import { expect, test } from 'vitest';
import { seededRandom } from '../../core/base/random.ts';
import { kafkaProcess } from '../core/engine/kafka-fixture.ts';
import { openTarget, type Target } from '../servers/bigquery/suite/target.ts';
import { KafkaProxy } from '../servers/kafka-proxy.ts';
import { Millstream } from '../servers/millstream.ts';
import { freePorts } from '../servers/process.ts';
import { Subscriber } from '../servers/subscriber.ts';
import { Wire } from '../servers/wire.ts';
import { countOr, report, seedFor } from './settings.ts';
import { evictorOf } from './subscriber/evict.ts';
import { COLUMNS, idOf, installPipeline, makeTopics, Orders, recordsOf } from './subscriber/orders.ts';
import { type Point, Victim } from './subscriber/victim.ts';
import { deadTopicOf, endpointsOf, makeTable, subscriberToml, type Way } from './subscriber/ways.ts';

/** Those that the broker's side sees: an emulator kills nobody. */
const POINTS: readonly Point[] = [
  'between append and commit',
  'after commit before its answer',
  'during recovery',
  'any time',
];

const ASKED: readonly Way[] = ['inserts', 'default', 'committed'];

test('rows outlive kill -9 of the subscriber, with bqemulator', { timeout: 3_600_000 }, async () => {
  const kills = countOr(12);
  const seed = seedFor('subscriber-emulator');
  const random = seededRandom(seed);
  const target = await openTarget();
  const victims: Victim[] = [];
  const processes: Subscriber[] = [];
  const [port = 0] = await freePorts(1);
  const broker = await Millstream.prepare({ config: { 'network.advertised': `127.0.0.1:${port}` } });
  const proxy = await KafkaProxy.start(
    port,
    () => broker.kafkaPort,
    (apiKey, frame) => victims.map(victim => victim.judge(apiKey, frame)).find(verdict => verdict !== 'pass') ?? 'pass',
  );
  const orders = new Orders(broker);
  const operator = kafkaProcess(broker.bootstrap);
  let wire: Wire | null = null;
  try {
    await installPipeline(broker);
    await broker.restart();
    await makeTopics(broker, ASKED.map(deadTopicOf));
    wire = await Wire.connect(broker.bootstrap);
    const bigquery = { sql: (text: string) => query(target, text) };
    const columns = COLUMNS.map(column => (column.name === 'place' ? { ...column, type: 'STRING' } : column));
    for (const way of ASKED) {
      await makeTable(target.restUrl, way, columns);
      const endpoints = endpointsOf({ restUrl: target.restUrl, grpcAddress: target.grpcAddress ?? '' });
      const process = await Subscriber.prepare(endpoints, subscriberToml(way, `127.0.0.1:${port}`));
      processes.push(process);
      const evict = evictorOf(operator.cluster);
      victims.push(
        new Victim({ way, process, fake: null, bigquery, wire, random, evict, produce: () => orders.produce(4) }),
      );
    }
    const ends: Awaited<ReturnType<Victim['finish']>>[] = [];
    for (const victim of victims) {
      for (let life = 0; life < kills / ASKED.length; life++) await victim.live(POINTS[life % POINTS.length] as Point);
      const letters = async (): Promise<string[]> =>
        (await recordsOf(broker.bootstrap, deadTopicOf(victim.way))).map(idOf);
      ends.push(await victim.finish(await orders.due(true), letters));
    }
    const due = await orders.due(true);
    const figures = Object.fromEntries(
      victims.map((victim, i) => [victim.way, { ...victim.kills, twice: ends[i]?.twice }]),
    );
    console.table(figures);
    expect(ends.map(({ wrong }) => wrong)).toEqual(victims.map(() => null));
    report('subscriber-emulator', { seed, ways: figures, rows: due.rows.length, refused: due.refused.length });
  } finally {
    wire?.close();
    orders.close();
    await operator.close();
    for (const process of processes) await process.remove();
    await proxy.close();
    await broker.stop();
    await target.close();
  }
});

async function query(target: Target, text: string): Promise<Record<string, unknown>[]> {
  const [rows] = await target.bigquery.query(text);
  return rows as Record<string, unknown>[];
}
