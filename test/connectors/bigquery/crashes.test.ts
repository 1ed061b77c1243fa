import { describe, expect, it } from 'vitest';
import { countOr, report, seedFor } from '../../faults/settings.ts';
import { type Counts, CrashRun, POINTS } from './crashes.ts';

/* `npm run soak -- bigquery` cuts 500 times and more; `SEED=...` replays the choices of a run. */

const CRASHES = countOr(60);
const STREAMS = ['committed', 'buffered', 'pending'];
const SEED = seedFor('bigquery');

describe('rows are in BigQuery exactly once, whenever an owner dies', () => {
  const all: Record<string, Counts> = {};

  it.each(STREAMS)('%s streams', { timeout: 3600e3 }, async stream => {
    const run = await CrashRun.open(stream, SEED + STREAMS.indexOf(stream));
    const { crashes } = run.counts;
    const most = Math.ceil(CRASHES / STREAMS.length / POINTS.length);
    try {
      for (let life = 0; POINTS.some(point => crashes[point] < most) && life < most * POINTS.length * 3; life++) {
        const point =
          POINTS.filter(each => crashes[each] < most)[life % 2] ?? POINTS.find(each => crashes[each] < most);
        if (point) await run.live(point);
        if (life % 6 === 0) await run.liveAsZombie();
      }
      await run.check();
    } catch (error) {
      throw new Error(`SEED=${SEED}, ${JSON.stringify(run.counts)}`, { cause: error });
    } finally {
      await run.close();
    }
    all[stream] = run.counts;
    for (const point of POINTS) expect(crashes[point]).toBeGreaterThanOrEqual(most);
    // Rows of a pending stream that no committed state names are never seen.
    if (stream !== 'pending') expect(run.counts.zombies.hidden).toBe(0);
    if (stream === STREAMS.at(-1)) report('bigquery', { seed: SEED, ...all });
  });
});
