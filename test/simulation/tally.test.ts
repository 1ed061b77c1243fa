import { expect, test } from 'vitest';
import { countOr, report } from '../faults/settings.ts';
import { noTallyFigures, type TallyFigures, TallySimulation, tallyModule } from './tally/simulation.ts';

/*
 * A step with state while the power goes: see tally/simulation.ts. CI runs 60 seeds, `npm run soak -- state` 1,000.
 * `SEED=n npm run test:simulation -- tally` runs one seed, with the same choices as before.
 */
const ONE = process.env['SEED'];
const FIRST = Number(ONE ?? 0);
const SEEDS = ONE === undefined || process.env['SOAK_COUNT'] !== undefined ? countOr(60) : 1;
const STEP = 20;

/** What a run has on average, at least. */
const LEAST: TallyFigures = {
  inputs: 120,
  entries: 14,
  ended: 55,
  ticked: 5,
  late: 20,
  cuts: 1.8,
  kills: 0.4,
  stops: 0.3,
  aborted: 3,
  compactions: 3.5,
  steered: 1,
  checks: 6,
};

const module = await tallyModule();

test('a seed gives the same run again', async () => {
  const [once, again] = [new TallySimulation(7, module), new TallySimulation(7, module)];
  expect(await once.run()).toEqual(await again.run());
});

const sums = noTallyFigures();
const seeds = Array.from({ length: SEEDS }, (_, i) => FIRST + i);
for (let at = 0; at < seeds.length; at += STEP) {
  const some = seeds.slice(at, at + STEP);
  test(`state, outputs and position agree after every end (seeds ${some[0]} to ${some.at(-1)})`, async () => {
    for (const seed of some) {
      const figures = await new TallySimulation(seed, module).run().catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        const again = `SEED=${seed} npm run test:simulation -- tally`;
        throw new Error(`seed ${seed}: ${reason}\nthe same again: ${again}`, { cause: error });
      });
      for (const key of Object.keys(sums) as (keyof TallyFigures)[]) sums[key] += figures[key];
    }
  });
}

test.skipIf(seeds.length < STEP)('much has happened in these runs', () => {
  report('state', { seeds: seeds.length, first: seeds[0], ...sums });
  for (const [key, each] of Object.entries(LEAST)) {
    expect(sums[key as keyof TallyFigures], key).toBeGreaterThan(each * seeds.length);
  }
});
