/**
 * kill -9 of BigQuery subscribers, real processes that write what a pipeline of WebAssembly modules (a filter, a
 * flat-map) makes: all five ways of writing at a time, each with its own subscriber and table. What SQL finds in the
 * tables in the end is what the source topic must come to: exactly once, or at least once with copies only of rows that a
 * killed process had written and not committed. `npm run soak -- subscriber` kills 240 times.
 */
import { expect, test } from 'vitest';
import { seededRandom } from '../../core/base/random.ts';
import { start as startBigQuery } from '../servers/bigquery/start.ts';
import { countOr, report, seedFor } from './settings.ts';
import { evictorOf } from './subscriber/evict.ts';
import { Stage } from './subscriber/stage.ts';
import { type Point, POINTS, Victim } from './subscriber/victim.ts';
import { DATASET, isExactlyOnce, makeTable, PROJECT, WAYS } from './subscriber/ways.ts';

test('rows outlive kill -9 of the subscriber, in each way of writing', { timeout: 3_600_000 }, async () => {
  const kills = countOr(10);
  const seed = seedFor('subscriber');
  const random = seededRandom(seed);
  // Half of the rows that are inserted twice are not recognized: best effort is all that BigQuery promises.
  const fake = await startBigQuery({ project: PROJECT, datasets: [DATASET], insertIdMissRate: 0.5, seed });
  const stage = await Stage.open();
  const { orders, wire } = stage;
  try {
    const victims: Victim[] = [];
    const common = { fake, bigquery: fake, wire, random, evict: evictorOf(stage.cluster) };
    for (const way of WAYS) {
      await makeTable(fake.restUrl, way);
      const process = await stage.subscriber(way, fake);
      const victim = new Victim({ way, process, produce: () => orders.produce(10), ...common });
      stage.judges.push((apiKey, frame) => victim.judge(apiKey, frame));
      victims.push(victim);
    }
    const counts = (): Record<string, Record<string, number>> =>
      Object.fromEntries(victims.map(victim => [victim.way, victim.kills]));
    const total = (point: string): number => Object.values(counts()).reduce((sum, each) => sum + (each[point] ?? 0), 0);
    const failure = (error: unknown): Error => new Error(`SEED=${seed}, ${JSON.stringify(counts())}`, { cause: error });

    const lives = Math.ceil(kills / WAYS.length);
    await Promise.all(
      victims.map(async (victim, i) => {
        for (let life = 0; life < lives; life++) await victim.live(POINTS[(2 * i + life) % POINTS.length] as Point);
      }),
    ).catch(error => Promise.reject(failure(error)));

    const due = await orders.due();
    const ends = await Promise.all(victims.map(victim => victim.finish(due, () => stage.refused(victim.way))));
    const figures = Object.fromEntries(
      victims.map((victim, i) => [victim.way, { ...victim.kills, twice: ends[i]?.twice }]),
    );
    console.table(figures);
    const wrong = ends.flatMap((end, i) => (end.wrong === null ? [] : [`${victims[i]?.way}: ${end.wrong}`]));
    if (wrong.length > 0) throw failure(wrong.join('\n'));
    for (const [i, victim] of victims.entries()) if (isExactlyOnce(victim.way)) expect(ends[i]?.twice).toBe(0);
    if (kills >= 150) for (const point of POINTS) expect(total(point)).toBeGreaterThanOrEqual(20);
    const all = Object.fromEntries([...POINTS, 'refused'].map(point => [point, total(point)]));
    report('subscriber', { seed, all, ways: figures, rows: due.rows.length, refused: due.refused.length });
  } finally {
    await stage.close();
    await fake.close();
  }
});
