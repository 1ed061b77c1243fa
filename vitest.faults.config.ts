import { defineConfig } from 'vitest/config';

/** Kills, fuzz, a full disk: `npm run test:faults`. One file at a time, because each starts servers and loads them. */
export default defineConfig({
  test: {
    include: ['test/faults/**/*.test.ts'],
    exclude: [
      // `npm run test:bqemulator`.
      'test/faults/subscriber-emulator.test.ts',
      // `npm run soak -- rss`: in the first minutes V8 grows whatever happens, so a short run says nothing.
      ...(process.env['SOAK_COUNT'] === undefined ? ['test/faults/subscriber-rss.test.ts'] : []),
    ],
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 60_000,
  },
});
