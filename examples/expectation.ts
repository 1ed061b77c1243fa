/**
 * What `npm start` must have written once pipelines/birdstrikes.toml has read all its reports, computed from the data
 * with nothing of Millstream: no module, no runtime. `node examples/expectation.ts` compares the files.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Expectation {
  /** Lines by sink, in the order of the reports. */
  sinks: Record<'reports' | 'costly' | 'severe', string[]>;
  dead: { id: string; code: string; value: string }[];
}

interface Report {
  id: string;
  phase: string;
  speed_knots: number | null;
  wildlife: { size: 'Small' | 'Medium' | 'Large' };
  damage: string;
  cost_usd: number;
  reporter: { name: string; email: string; phone: string };
  tier?: string;
  impact_joules?: number;
}

const SPEEDS: Record<string, [lowest: number, highest: number]> = {
  Parked: [0, 30],
  Taxi: [0, 60],
  'Take-off run': [0, 220],
  'Landing Roll': [0, 220],
  Climb: [35, 600],
  Descent: [35, 600],
  Approach: [35, 600],
};
const KILOGRAMS = { Small: 0.085, Medium: 1.15, Large: 3.65 };

/** `salt` is the pipeline's PII_SALT. */
export function expectation(ndjson: string, salt = 'demo'): Expectation {
  const expected: Expectation = { sinks: { reports: [], costly: [], severe: [] }, dead: [] };
  for (const line of ndjson.split('\n')) {
    if (line === '') continue;
    const report = JSON.parse(line) as Report;
    const code = faultOf(report);
    if (code) {
      expected.dead.push({ id: report.id, code, value: line });
      continue;
    }
    report.reporter.email = createHash('sha256').update(salt).update(report.reporter.email).digest('hex');
    report.reporter.name = '***';
    report.reporter.phone = '***';
    report.tier = tierOf(report);
    if (report.speed_knots !== null) {
      const speed = (report.speed_knots * 1852) / 3600;
      report.impact_joules = Math.round(0.5 * KILOGRAMS[report.wildlife.size] * speed ** 2);
    }
    const out = JSON.stringify(report);
    if (report.tier === 'severe') expected.sinks.severe.push(out);
    else expected.sinks.reports.push(out);
    if (report.tier === 'costly') expected.sinks.costly.push(out);
  }
  return expected;
}

function faultOf({ damage, phase, speed_knots: speed }: Report): string | null {
  if (!['None', 'Minor', 'Medium', 'Substantial'].includes(damage)) return 'UNKNOWN_DAMAGE';
  const [lowest, highest] = SPEEDS[phase] ?? [0, 600];
  return speed !== null && (speed < lowest || speed > highest) ? 'IMPLAUSIBLE_SPEED' : null;
}

function tierOf({ damage, cost_usd: cost }: Report): string {
  if (damage === 'Substantial' || cost >= 250_000) return 'severe';
  return damage === 'Medium' || cost >= 1000 ? 'costly' : 'routine';
}

/** Differences between expected and found lines, whatever their order; a line may come again after a crash. */
export function compare(expected: readonly string[], found: readonly string[]): { missing: string[]; extra: string[] } {
  const wanted = new Set(expected);
  const have = new Set(found);
  return { missing: expected.filter(line => !have.has(line)), extra: found.filter(line => !wanted.has(line)) };
}

/** Lines of a file, or of all files in a folder. */
function linesAt(path: string): string[] {
  if (!existsSync(path)) return [];
  const files = path.endsWith('.ndjson') ? [path] : readdirSync(path).map(name => join(path, name));
  return files.flatMap(file => readFileSync(file, 'utf8').split('\n').slice(0, -1));
}

function main(): void {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const { sinks, dead } = expectation(
    readFileSync(join(root, 'examples/data/birdstrikes.ndjson'), 'utf8'),
    process.env['PII_SALT'],
  );
  const letters = linesAt(join(root, 'dead-letter/birdstrikes')).map(line => {
    const { code, value } = JSON.parse(line) as { code: string; value: string };
    return `${code} ${value}`;
  });
  const pairs: [name: string, expected: string[], found: string[]][] = [
    ...Object.entries(sinks).map(([name, lines]): [string, string[], string[]] => [
      `out/${name}.ndjson`,
      lines,
      linesAt(join(root, `out/${name}.ndjson`)),
    ]),
    ['dead-letter/birdstrikes/', dead.map(({ code, value }) => `${code} ${value}`), letters],
  ];
  for (const [name, expected, found] of pairs) {
    const { missing, extra } = compare(expected, found);
    const wrong = missing.length + extra.length > 0;
    const verdict = wrong ? `${missing.length} missing, ${extra.length} not expected` : 'as expected';
    process.stdout.write(`${name.padEnd(26)} ${String(found.length).padStart(6)} lines, ${verdict}\n`);
    for (const line of [...missing.slice(0, 1), ...extra.slice(0, 1)]) process.stdout.write(`  ${line}\n`);
    if (wrong) process.exitCode = 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
