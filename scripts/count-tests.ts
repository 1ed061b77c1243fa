/**
 * Sums up what a run of `.ci/run` left in a folder and prints the line "N passed, N failed":
 * NAME.json = vitest's JSON report, NAME.passed or NAME.failed = how a step without a report ended.
 * may-skip = beginnings of the names of tests that may be skipped here, one a line.
 * Any other skipped test, a test file that could not be loaded and a suite that failed without a failed test each count as one
 * failure. Exit code 1 when anything failed or nothing ran.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: {
    name: string;
    status: string;
    message?: string;
    assertionResults: { status: string; fullName: string }[];
  }[];
}

const folder = process.argv[2];
if (folder === undefined) throw new Error('usage: count-tests.ts FOLDER');
const files = readdirSync(folder);
const maySkip = files.includes('may-skip')
  ? readFileSync(join(folder, 'may-skip'), 'utf8').split('\n').filter(Boolean)
  : [];
let passed = 0;
let failed = 0;

for (const file of files.filter(name => name.endsWith('.json'))) {
  const suite = file.slice(0, -'.json'.length);
  const report = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Report;
  let wrong = report.numFailedTests;
  for (const result of report.testResults) {
    for (const test of result.assertionResults) {
      if (test.status === 'passed') continue;
      if (test.status !== 'failed' && !maySkip.some(name => test.fullName.startsWith(name))) wrong++;
      console.log(`${test.status}: ${suite}: ${test.fullName}`);
    }
    if (result.status === 'failed' && !result.assertionResults.some(test => test.status === 'failed')) {
      wrong++;
      console.log(`failed: ${suite}: ${result.name}: ${(result.message ?? '').split('\n')[0]}`);
    }
  }
  // Vitest also fails a run for errors outside of tests, for example a promise that nobody awaited.
  if (wrong === 0 && files.includes(`${suite}.failed`)) {
    wrong = 1;
    console.log(`failed: ${suite}: the run failed outside of its tests`);
  }
  console.log(`${suite}: ${report.numPassedTests} passed, ${wrong} failed`);
  passed += report.numPassedTests;
  failed += wrong;
}

const withReport = (name: string): boolean => files.includes(`${name}.json`);
for (const file of files.filter(each => each !== 'may-skip')) {
  const [name = '', outcome] = file.split('.');
  if (withReport(name)) continue;
  if (outcome === 'passed') passed++;
  if (outcome === 'failed') {
    failed++;
    console.log(`failed: ${name}`);
  }
}

console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
