import { test } from 'vitest';
import { STEERED_CUTS } from './steered-cuts.ts';

const SEEDS = 20;

for (const [name, run] of Object.entries(STEERED_CUTS)) {
  test(`${name}: nothing promised is lost (seeds 0 to ${SEEDS - 1})`, { timeout: 120_000 }, async () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      await run(seed, () => false).catch((error: unknown) => {
        throw new Error(`seed ${seed}`, { cause: error });
      });
    }
  });
}
