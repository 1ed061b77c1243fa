import { defineConfig } from 'vitest/config';

/** Foreign clients against a running server: `npm run test:compat`, or `TARGET=kafka npm run test:compat`. */
export default defineConfig({
  test: {
    include: ['test/compat/**/*.test.ts'],
    globalSetup: ['test/compat/setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 120_000,
  },
});
