import { defineConfig } from 'vitest/config';

/** The whole path on a simulated disk and clock: `npm run test:simulation`. */
export default defineConfig({
  test: {
    include: ['test/simulation/**/*.test.ts'],
    // `npm run soak -- mutation`: it runs the others again and again.
    exclude: process.env['SOAK_COUNT'] === undefined ? ['test/simulation/mutation.test.ts'] : [],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 1_800_000,
  },
});
