/**
 * Two BigQuery subscribers of one topic, real processes: one joins, one is killed, one is stopped past its session timeout
 * (SIGSTOP) and goes on when its partitions are another's (SIGCONT). What SQL finds is what the source comes to, exactly
 * once in each way of writing that promises it; else with copies only of what one who was killed or stood still had written
 * or read and not committed. `npm run soak -- rebalance` goes through it ten times.
 */
import { expect, test } from 'vitest';
import { Admin } from '../../core/client/admin.ts';
import { start as startBigQuery } from '../servers/bigquery/start.ts';
import { countOr, report } from './settings.ts';
import { Pair } from './subscriber/pair.ts';
import { Stage } from './subscriber/stage.ts';
import { DATASET, makeTable, PROJECT, WAYS } from './subscriber/ways.ts';

/** The shortest that brokers allow. */
const SESSION = 'session_timeout = "6s"';

test('no row is lost and none is doubled, whoever of two subscribers comes, dies or stands still', {
  timeout: 3_600_000,
}, async () => {
  const cycles = countOr(2);
  const fake = await startBigQuery({ project: PROJECT, datasets: [DATASET] });
  const stage = await Stage.open();
  const { orders, wire } = stage;
  try {
    const pairs: Pair[] = [];
    for (const way of WAYS) {
      await makeTable(fake.restUrl, way);
      const processes = [
        await stage.subscriber(way, fake, SESSION),
        await stage.subscriber(way, fake, SESSION),
      ] as const;
      const pair = new Pair({
        way,
        processes,
        fake,
        wire,
        describe: group => new Admin(stage.cluster).groups.describe(group),
        produce: count => orders.produce(count),
        due: () => orders.due(),
      });
      stage.judges.push((apiKey, frame) => pair.judge(apiKey, frame));
      pairs.push(pair);
    }
    await orders.produce(50);
    await Promise.all(
      pairs.map(async pair => {
        await pair.begin();
        for (let i = 0; i < cycles; i++) await pair.cycle(i % 2 === 0 ? 'at rows' : 'at a commit');
      }),
    );
    const wrong = await Promise.all(pairs.map(pair => pair.finish(() => stage.refused(pair.way))));
    const figures = Object.fromEntries(pairs.map(pair => [pair.way, pair.counts]));
    console.table(figures);
    expect(wrong).toEqual(pairs.map(() => null));
    // Zombies that write to a stream are refused; a pending stream is the zombie's own, and nobody ever shows it.
    const refused = pairs.reduce((sum, { counts }) => sum + counts.refusedZombieWrites, 0);
    if (cycles >= 8) expect(refused).toBeGreaterThan(0);
    const { rows } = await orders.due();
    report('rebalance', { cycles, ways: figures, rows: rows.length });
  } finally {
    await stage.close();
    await fake.close();
  }
});
