/**
 * `npm run soak -- SUITE [COUNT]`: a fault suite with its full count. Seed, counts and commit go to bench/results/ as
 * one JSON line. `SEED=... npm run soak -- SUITE` replays the random choices of an earlier run.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Suite, its test file, and the count that the work is held to. */
const SUITES: Record<string, { file: string; count: number; unit: string; config?: string }> = {
  kill: { file: 'test/faults/kill.test.ts', count: 100, unit: 'rounds' },
  copiers: { file: 'test/faults/copiers.test.ts', count: 50, unit: 'kills' },
  fuzz: { file: 'test/faults/fuzz.test.ts', count: 100_000, unit: 'frames' },
  powercut: {
    file: 'test/simulation/powercut-',
    count: 10_000,
    unit: 'seeds',
    config: 'vitest.simulation.config.ts',
  },
  state: {
    file: 'test/simulation/tally.test.ts',
    count: 1_000,
    unit: 'seeds',
    config: 'vitest.simulation.config.ts',
  },
  'state-kill': { file: 'test/faults/state-kill.test.ts', count: 20, unit: 'kills' },
  mutation: {
    file: 'test/simulation/mutation.test.ts',
    count: 50,
    unit: 'seeds for each mutant',
    config: 'vitest.simulation.config.ts',
  },
  model: {
    file: 'test/simulation/model.test.ts',
    count: 20_000,
    unit: 'seeds',
    config: 'vitest.simulation.config.ts',
  },
  bigquery: {
    file: 'test/connectors/bigquery/crashes.test.ts',
    count: 504,
    unit: 'crashes',
    config: 'vitest.config.ts',
  },
  subscriber: { file: 'test/faults/subscriber-kill.test.ts', count: 240, unit: 'kills' },
  rss: { file: 'test/faults/subscriber-rss.test.ts', count: 10, unit: 'minutes' },
  rebalance: { file: 'test/faults/subscriber-rebalance.test.ts', count: 10, unit: 'cycles' },
  'bigquery-pipeline': { file: 'test/faults/bigquery-kill.test.ts', count: 60, unit: 'kills' },
  deploy: { file: 'test/faults/deploy.test.ts', count: 100, unit: 'deploys and rollbacks' },
  poison: { file: 'test/faults/poison.test.ts', count: 10_000, unit: 'damaged modules' },
  compaction: {
    file: 'test/core/log/compaction-crash.test.ts',
    count: 1_000,
    unit: 'seeds',
    config: 'vitest.config.ts',
  },
  'file-sink': {
    file: 'test/connectors/file/power-cut.test.ts',
    count: 200,
    unit: 'seeds',
    config: 'vitest.config.ts',
  },
};

const [name = '', count] = process.argv.slice(2);
const suite = SUITES[name];
if (suite === undefined) {
  console.error(`usage: npm run soak -- SUITE [COUNT]\nsuites: ${Object.keys(SUITES).join(', ')}`);
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), 'soak-'));
const figures = join(folder, 'figures.jsonl');
const git = (...args: string[]): string => spawnSync('git', args, { encoding: 'utf8' }).stdout.trim();
const started = performance.now();
const total = Number(count ?? suite.count);
console.log(`${name}: ${total} ${suite.unit}`);
const result = spawnSync('vitest', ['run', '-c', suite.config ?? 'vitest.faults.config.ts', suite.file], {
  stdio: 'inherit',
  env: { ...process.env, SOAK_COUNT: String(total), SOAK_RESULT: figures },
});

const date = new Date().toISOString();
const commit = git('rev-parse', '--short', 'HEAD');
const lines = existsSync(figures) ? readFileSync(figures, 'utf8').trim().split('\n') : ['{}'];
mkdirSync('bench/results', { recursive: true });
for (const line of lines) {
  const entry = {
    soak: name,
    date,
    commit: git('status', '--porcelain', '--untracked-files=no') === '' ? commit : `${commit}+`,
    passed: result.status === 0,
    seconds: Math.round((performance.now() - started) / 1000),
    ...(JSON.parse(line) as object),
  };
  appendFileSync(`bench/results/${date.slice(0, 10)}-soak.jsonl`, `${JSON.stringify(entry)}\n`);
  console.log(JSON.stringify(entry));
}
rmSync(folder, { recursive: true, force: true });
process.exitCode = result.status === 0 ? 0 : 1;
