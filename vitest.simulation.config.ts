import { defineConfig } from 'vitest/config';

/** The whole path on a simulated disk and clock: `npm run test:simulation`. */
export default defineConfig({
  test: {
    include: ['test/simulation/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 1_800_000,
  },
});
