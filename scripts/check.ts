/** `npm run check`: types, lint, format, and whether everything generated is what its source gives now. */
import { spawnSync } from 'node:child_process';

const checks: [name: string, command: string, ...args: string[]][] = [
  ['types', 'tsc', '-p', '.', '--incremental', '--tsBuildInfoFile', 'node_modules/.cache/millstream/types.tsbuildinfo'],
  ['lint', 'oxlint', '--type-aware', '--deny-warnings'],
  ['format', 'biome', 'format', '.'],
  ['generated files', 'node', 'scripts/generate.ts', '--check'],
];

let failed = 0;
for (const [name, command, ...args] of checks) {
  const started = performance.now();
  const result = spawnSync(command, args, { encoding: 'utf8', env: process.env });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (result.status === 0) console.log(`ok      ${name} (${seconds} s)`);
  else {
    failed++;
    console.log(`FAILED  ${name} (${seconds} s)\n${result.stdout ?? ''}${result.stderr ?? ''}${result.error ?? ''}`);
  }
}
process.exitCode = failed === 0 ? 0 : 1;
