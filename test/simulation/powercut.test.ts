import { readFileSync, readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { countOr, report } from '../faults/settings.ts';
import type { Figures } from './figures.ts';
import { Simulation } from './simulation.ts';

/*
 * The whole path while the power goes: see simulation.ts. CI runs some hundred seeds, `npm run soak -- powercut` 10,000.
 * `SEED=n npm run test:simulation -- powercut` runs one seed, with the same choices as before.
 */
const ONE = process.env['SEED'];
const FIRST = Number(ONE ?? 0);
const SEEDS = ONE === undefined || process.env['SOAK_COUNT'] !== undefined ? countOr(300) : 1;
const STEP = 50;
const sums: Partial<Figures> = {};

for (let from = FIRST; from < FIRST + SEEDS; from += STEP) {
  const to = Math.min(from + STEP, FIRST + SEEDS);
  test(`whatever is cut when, all of it is there once (seeds ${from} to ${to - 1})`, async () => {
    for (let seed = from; seed < to; seed++) {
      const figures = await new Simulation(seed).run().catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        const again = `SEED=${seed} npm run test:simulation -- powercut`;
        throw new Error(`seed ${seed}: ${reason}\nthe same again: ${again}`, { cause: error });
      });
      for (const key of Object.keys(figures) as (keyof Figures)[]) sums[key] = (sums[key] ?? 0) + figures[key];
    }
  });
}

test.skipIf(SEEDS < STEP)('much has happened in these runs', () => {
  report('powercut', { seeds: SEEDS, first: FIRST, ...sums });
  for (const [key, each] of Object.entries(LEAST)) {
    expect(sums[key as keyof Figures] ?? 0, key).toBeGreaterThan(each * SEEDS);
  }
});

/** A run on average. */
const LEAST: Record<keyof Figures, number> = {
  records: 60,
  transactions: 5,
  deadLetters: 20,
  cuts: 2,
  kills: 0.3,
  stops: 0.1,
  inRecovery: 0.08,
  compactions: 0.5,
  compactionsCut: 0.002,
  trimmed: 0.5,
  topics: 0.3,
  steered: 0.4,
  lostAnswers: 0.5,
  refused: 2,
};

test('a seed gives the same run again', async () => {
  const [once, again] = [new Simulation(7), new Simulation(7)];
  expect(await once.run()).toEqual(await again.run());
  expect(once.trace()).toBe(again.trace());
});

test('checker and model know nothing of what they check', () => {
  const files = [
    ...readdirSync('test/simulation/checker').map(name => `checker/${name}`),
    ...['log-model.ts', 'transaction-model.ts'].map(name => `model/${name}`),
  ];
  for (const file of files) {
    const imports = readFileSync(`test/simulation/${file}`, 'utf8').match(/from '[^']+'/g) ?? [];
    for (const each of imports) expect(each).toMatch(/from '(\.\/[a-z-]+\.ts|node:zlib)'/);
  }
});
