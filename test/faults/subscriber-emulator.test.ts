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
import { openTarget, type Target } from '../servers/bigquery/suite/target.ts';
import { countOr, report, seedFor } from './settings.ts';
import { evictorOf } from './subscriber/evict.ts';
import { COLUMNS } from './subscriber/orders.ts';
import { Stage } from './subscriber/stage.ts';
import { type Point, Victim } from './subscriber/victim.ts';
import { makeTable, type Way } from './subscriber/ways.ts';

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
  const stage = await Stage.open();
  const { orders, wire } = stage;
  try {
    const { restUrl, grpcAddress } = target;
    const bigquery = { sql: (text: string) => query(target, text) };
    const common = { fake: null, bigquery, wire, random, evict: evictorOf(stage.cluster) };
    const columns = COLUMNS.map(column => (column.name === 'place' ? { ...column, type: 'STRING' } : column));
    const figures: Record<string, object> = {};
    for (const way of ASKED) {
      await makeTable(restUrl, way, columns);
      const process = await stage.subscriber(way, { restUrl, grpcAddress: grpcAddress ?? '' });
      const victim = new Victim({ way, process, produce: () => orders.produce(4), ...common });
      stage.judges.push((apiKey, frame) => victim.judge(apiKey, frame));
      for (let life = 0; life < kills / ASKED.length; life++) await victim.live(POINTS[life % POINTS.length] as Point);
      const { wrong, twice } = await victim.finish(await orders.due(true), () => stage.refused(way));
      expect(wrong).toBeNull();
      figures[way] = { ...victim.kills, twice };
    }
    console.table(figures);
    const { rows, refused } = await orders.due(true);
    report('subscriber-emulator', { seed, ways: figures, rows: rows.length, refused: refused.length });
  } finally {
    await stage.close();
    await target.close();
  }
});

async function query(target: Target, text: string): Promise<Record<string, unknown>[]> {
  const [rows] = await target.bigquery.query(text);
  return rows as Record<string, unknown>[];
}
