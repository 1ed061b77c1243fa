import { expect, test } from 'vitest';
import { countOr, report } from '../faults/settings.ts';
import { Driver } from './model/driver.ts';

/*
 * The broker against a model that knows nothing of its code, by random requests and restarts: see model/driver.ts.
 * `npm run soak -- model` runs 20,000 seeds; `SEED=n npm run test:simulation -- model.test` runs one.
 */
const ONE = process.env['SEED'];
const FIRST = Number(ONE ?? 0);
const SEEDS = ONE === undefined || process.env['SOAK_COUNT'] !== undefined ? countOr(300) : 1;
const STEP = 100;
const sums: Record<string, [well: number, refused: number]> = {};

for (let from = FIRST; from < FIRST + SEEDS; from += STEP) {
  const to = Math.min(from + STEP, FIRST + SEEDS);
  test(`every answer is the model's (seeds ${from} to ${to - 1})`, async () => {
    for (let seed = from; seed < to; seed++) {
      const driver = new Driver(seed);
      await driver.run().catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        const again = `SEED=${seed} npm run test:simulation -- model.test`;
        throw new Error(`seed ${seed}\n${driver.story.join('\n')}\n${reason}\nthe same again: ${again}`, {
          cause: error,
        });
      });
      for (const [name, [well, refused]] of driver.counts) {
        const sum = (sums[name] ??= [0, 0]);
        sum[0] += well;
        sum[1] += refused;
      }
    }
  });
}

test.skipIf(SEEDS < STEP)('every request was answered well and refused', () => {
  report('model', { seeds: SEEDS, first: FIRST, ...sums });
  for (const [name, [well, refused]] of Object.entries(sums)) {
    expect(well, name).toBeGreaterThan(SEEDS / 20);
    if (!['init', 'restart', 'time passes'].includes(name)) expect(refused, name).toBeGreaterThan(0);
  }
});
