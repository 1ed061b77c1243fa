/**
 * The fake in its own process: `npm run bigquery-fake -- --rest-port 9050 --grpc-port 9060 --project p --dataset d`.
 * Prints one line with the addresses when it is ready. Other flags: --count (keep sums, not rows), --visible-after-ms,
 * --schema-delay-ms, --idle-ms, --insert-id-miss-rate, --seed, --journal-limit. Ends on SIGTERM and SIGINT.
 */
import { parseArgs } from 'node:util';
import { start } from './start.ts';

const { values } = parseArgs({
  options: {
    'rest-port': { type: 'string', default: '9050' },
    'grpc-port': { type: 'string', default: '9060' },
    project: { type: 'string', default: 'p' },
    dataset: { type: 'string', multiple: true, default: [] },
    count: { type: 'boolean', default: false },
    'visible-after-ms': { type: 'string', default: '0' },
    'schema-delay-ms': { type: 'string', default: '0' },
    'idle-ms': { type: 'string', default: '600000' },
    'insert-id-miss-rate': { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
    'journal-limit': { type: 'string', default: '100000' },
  },
});

const fake = await start({
  restPort: Number(values['rest-port']),
  grpcPort: Number(values['grpc-port']),
  project: values.project,
  datasets: values.dataset,
  rows: values.count ? 'count' : 'keep',
  visibleAfterMs: Number(values['visible-after-ms']),
  schemaDelayMs: Number(values['schema-delay-ms']),
  idleMs: Number(values['idle-ms']),
  insertIdMissRate: Number(values['insert-id-miss-rate']),
  seed: Number(values.seed),
  journalLimit: Number(values['journal-limit']),
});
console.log(
  `ready BIGQUERY_EMULATOR_HOST=${fake.restUrl} BIGQUERY_STORAGE_EMULATOR_HOST=${fake.grpcAddress} project=${fake.project}`,
);
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => void fake.close().then(() => process.exit(0)));
