import { expect, test } from 'vitest';
import { countOr, report } from '../faults/settings.ts';
import type { Figures } from './figures.ts';
import { Simulation } from './simulation.ts';

/*
 * The whole path while the power goes: see simulation.ts. CI runs 1,000 seeds, `npm run soak -- powercut` 10,000, in two
 * processes. `SEED=n npm run test:simulation -- powercut` runs one seed, with the same choices as before.
 */
const ONE = process.env['SEED'];
const FIRST = Number(ONE ?? 0);
const SEEDS = ONE === undefined || process.env['SOAK_COUNT'] !== undefined ? countOr(1_000) : 1;
const STEP = 50;

/** What a run has on average, at least: about 60 % of what is seen, of rare things less. */
const LEAST: Record<keyof Figures, number> = {
  records: 120,
  transactions: 18,
  deadLetters: 23,
  cuts: 2,
  kills: 0.5,
  stops: 0.06,
  inAppend: 1.2,
  inCommit: 1.3,
  inRecovery: 0.25,
  compactions: 15,
  compactionsCut: 0.008,
  trimmed: 1.5,
  superseded: 10,
  topics: 1,
  steered: 1,
  lostAnswers: 1.2,
  refused: 5,
  fileLines: 70,
  rotations: 2,
  filesCut: 0.3,
};

/** The tests of one of the two processes: `rest` is what its seeds leave when divided by two. */
export function powerCuts(rest: 0 | 1): void {
  const sums: Partial<Figures> = {};
  const seeds = Array.from({ length: SEEDS }, (_, i) => FIRST + i).filter(seed => seed % 2 === rest);

  for (let at = 0; at < seeds.length; at += STEP) {
    const some = seeds.slice(at, at + STEP);
    test(`whatever is cut when, all of it is there once (seeds ${some[0]} to ${some.at(-1)})`, async () => {
      for (const seed of some) {
        const figures = await new Simulation(seed).run().catch((error: unknown) => {
          const reason = error instanceof Error ? error.message : String(error);
          const again = `SEED=${seed} npm run test:simulation -- powercut`;
          throw new Error(`seed ${seed}: ${reason}\nthe same again: ${again}`, { cause: error });
        });
        for (const key of Object.keys(figures) as (keyof Figures)[]) sums[key] = (sums[key] ?? 0) + figures[key];
      }
    });
  }

  test.skipIf(seeds.length < STEP)('much has happened in these runs', () => {
    report('powercut', { seeds: seeds.length, first: seeds[0], every: 2, ...sums });
    for (const [key, each] of Object.entries(LEAST)) {
      expect(sums[key as keyof Figures] ?? 0, key).toBeGreaterThan(each * seeds.length);
    }
  });
}
