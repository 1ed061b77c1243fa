import { defineConfig } from 'vitest/config';

/** Kills, fuzz, a full disk: `npm run test:faults`. One file at a time, because each starts servers and loads them. */
export default defineConfig({
  test: {
    include: ['test/faults/**/*.test.ts'],
    // `npm run test:bqemulator`.
    exclude: ['test/faults/subscriber-emulator.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 60_000,
  },
});
