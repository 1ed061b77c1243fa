import { defineConfig } from 'vitest/config';

/**
 * The behaviours of BigQuery asked of an independent emulator, and the subscriber killed while it writes to it: `npm run test:bqemulator`, after
 * `test/servers/bqemulator.sh`. One server a file, one file at a time: each takes 150 MB.
 */
export default defineConfig({
  test: {
    include: ['test/servers/bigquery/behaviour-*.test.ts', 'test/faults/subscriber-emulator.test.ts'],
    env: { BIGQUERY_TARGET: 'bqemulator' },
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
