import { describe, expect, test } from 'vitest';
import { Simulation } from './compaction/simulation.ts';

/*
 * A compacted log that loses power at any time: plain, idempotent and transactional producers, tombstones, all codecs,
 * compactions that are under way when it happens. A model that knows nothing of compaction holds after every start, and
 * beside running compactions: the newest value of each key is there; what has been missing once never comes back; when
 * a record is missing so is everything older of its key; what was aborted is delivered to no reader of committed
 * records, and what was committed is; offsets, batches and sequences are what they were.
 *
 * What it notices: one thing at a time was taken out of core/log/compaction by hand, and seeds 0 to 49 were run, here and of
 * the steered cuts of compaction (compaction/steered-cuts.ts, 50 seeds each). test/simulation/mutation.test.ts does so with
 * each of the syncs.
 *   taken out                                                    fail here   steered
 *   sync of a compacted segment's log                                40        86
 *   first sync of the folder in a swap (it counts now)                0         2
 *   second (the originals are gone)                                   5         2
 *   saving the recovery points before the first change                1         0
 *   saving that offsets may be missing, before the first change      18         0
 *   saving how far compaction has come                               32         0
 *   sync of its indexes                                               0         3
 *   sync of the folder before recovery completes a swap               0         3
 *   the checkpoint before a swap                                      0         0   compaction/outlive.test.ts fails
 * `npm run soak -- compaction` runs 1,000 seeds.
 */
const SEEDS = Number(process.env['SOAK_COUNT'] ?? 200);
const FIRST_SEED = Number(process.env['SEED'] ?? 0);

describe('a compacted log on a disk that forgets', () => {
  const step = 50;
  for (let from = FIRST_SEED; from < FIRST_SEED + SEEDS; from += step) {
    const to = Math.min(from + step, FIRST_SEED + SEEDS);
    test(`keeps the newest of every key, whatever is cut when (seeds ${from} to ${to - 1})`, {
      timeout: 600_000,
    }, async () => {
      const sums = { compactions: 0, cutsInside: 0, swapsCut: 0 };
      for (let seed = from; seed < to; seed++) {
        const simulation = new Simulation(seed);
        try {
          await simulation.run();
        } catch (error) {
          throw new Error(`seed ${seed}`, { cause: error });
        }
        for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += simulation[name];
      }
      // The runs are worth something only when compaction is what they cut.
      if (to - from === step) {
        expect(sums.compactions).toBeGreaterThan(10);
        expect(sums.cutsInside).toBeGreaterThan(10);
        expect(sums.swapsCut).toBeGreaterThan(3);
      }
    });
  }
});
