import { cpSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { compare, type Expectation, expectation } from '../../examples/expectation.ts';
import type { Audit } from '../../server/lineage/audit-types.ts';
import type { PipelineStatus } from '../../server/pipeline-status.ts';
import { Millstream } from '../servers/millstream.ts';
import { eventually } from '../servers/process.ts';

/* What `npm start` runs, as a process of its own in a copy of the project, against an expectation without Millstream. */

const root = fileURLToPath(new URL('../..', import.meta.url));
const reports = readFileSync(join(root, 'examples/data/birdstrikes.ndjson'), 'utf8');
const expected: Expectation = expectation(reports);
const SINKS = ['reports', 'costly', 'severe'] as const;

interface DeadLetterLine {
  code: string;
  value_b64: string;
  step: string;
  source: { topic: string; partition: number; offset: number };
}

let server: Millstream;
afterEach(() => server.stop());

async function prepare(): Promise<void> {
  server = await Millstream.prepare({ toml: readFileSync(join(root, 'millstream.toml'), 'utf8') });
  for (const folder of ['pipelines', 'modules', 'examples/data']) {
    cpSync(join(root, folder), join(server.folder, folder), { recursive: true });
  }
}

/** Whole lines of a file that may not be there yet. */
function lines(path: string): string[] {
  const file = join(server.folder, path);
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}

const sinkLines = (sink: string): string[] => lines(`out/${sink}.ndjson`);

function deadLetters(): DeadLetterLine[] {
  const folder = 'dead-letter/birdstrikes';
  const files = existsSync(join(server.folder, folder)) ? readdirSync(join(server.folder, folder)) : [];
  return files.flatMap(file => lines(`${folder}/${file}`)).map(line => JSON.parse(line) as DeadLetterLine);
}

const originals = (letters: readonly DeadLetterLine[]): string[] =>
  letters.map(({ code, value_b64 }) => `${code} ${Buffer.from(value_b64, 'base64').toString()}`);
const expectedDead = expected.dead.map(({ code, value }) => `${code} ${value}`);

/** Everything expected is in the files; what is there twice, or not expected, is for the test to find. */
const allThere = (): true | undefined =>
  SINKS.every(sink => compare(expected.sinks[sink], sinkLines(sink)).missing.length === 0) &&
  compare(expectedDead, originals(deadLetters())).missing.length === 0
    ? true
    : undefined;

async function status(): Promise<PipelineStatus> {
  const response = await fetch(`${server.httpUrl}/api/v1/pipelines/birdstrikes`);
  return (await response.json()) as PipelineStatus;
}

async function audit(): Promise<Audit> {
  const response = await fetch(`${server.httpUrl}/api/v1/pipelines/birdstrikes/audit`);
  return (await response.json()) as Audit;
}

function expectExactly(): void {
  for (const sink of SINKS) expect(sinkLines(sink).toSorted()).toEqual(expected.sinks[sink].toSorted());
  expect(originals(deadLetters()).toSorted()).toEqual(expectedDead.toSorted());
}

describe('the demo', () => {
  it('writes what was expected, and nothing again after a clean stop', { timeout: 60_000 }, async () => {
    await prepare();
    await server.restart();
    await eventually('all lines', allThere, 50_000);
    expect(await status()).toMatchObject({
      state: 'running',
      records: 10_000,
      outputs: [
        { topic: 'birdstrikes.out', records: 9658, total: 9658 },
        { topic: 'birdstrikes.severe', records: 315, total: 315 },
      ],
      deadLetters: { records: 27, total: 27 },
    });
    const { ok, counts, lines: checks } = await audit();
    expect(checks.filter(({ result }) => result !== 'ok')).toEqual([]);
    const sum = (key: 'in' | 'emitted' | 'dead' | 'outputs' | 'letters') =>
      counts.reduce((all, each) => all + each[key], 0);
    expect([sum('in'), sum('emitted'), sum('dead'), sum('outputs'), sum('letters')]).toEqual([
      10_000, 9973, 27, 9973, 27,
    ]);
    expect(ok).toBe(true);
    for (const { source, value_b64 } of deadLetters()) {
      const at = `partition=${source.partition}&offset=${source.offset}&limit=1`;
      const response = await fetch(`${server.httpUrl}/api/v1/topics/${source.topic}/records?${at}`);
      const { records } = (await response.json()) as { records: { value: string }[] };
      expect(records.map(record => Buffer.from(record.value).toString('base64'))).toEqual([value_b64]);
    }
    const screen = await eventually('the first screen', () =>
      server.output.includes('Next, in another terminal') ? server.output : undefined,
    );
    expect(screen).toContain('reporter.name   "');
    expect(screen).toMatch(/(UNKNOWN_DAMAGE|IMPLAUSIBLE_SPEED) in step classify: /);
    expect(screen).toContain('10,000 records in; 9,658 to birdstrikes.out, 315 to birdstrikes.severe, 27 dead');

    expect(await server.terminate()).toBe(0);
    expectExactly();

    await server.restart();
    const second = await eventually('the first screen of the second start', () =>
      server.output.includes('Next, in another terminal') ? server.output : undefined,
    );
    expect(second).toContain('nothing new: the file source was read to its end before');
    expect(second).toContain('10,000 in birdstrikes.in, 9,658 in birdstrikes.out');
    expect(await server.terminate()).toBe(0);
    expectExactly();
    expect(server.errors).toEqual([]);
  });

  it('has lost nothing after being killed again and again', { timeout: 90_000 }, async () => {
    await prepare();
    // Killed as soon as anything is written, then further on, then while the rest goes through.
    for (const bytes of [1, 500_000, 2_000_000]) {
      await server.restart();
      const file = join(server.folder, 'out/reports.ndjson');
      await eventually(`${bytes} bytes`, () => (existsSync(file) && statSync(file).size >= bytes) || undefined, 30_000);
      await server.kill9();
    }
    await server.restart();
    await eventually('all lines', allThere, 50_000);
    await eventually('an end of the work', async () => {
      const { lag, sinks, deadLetters: dead } = await status();
      return lag === 0 && [...sinks, dead.drain].every(sink => sink?.lag === 0) ? true : undefined;
    });
    expect(await server.terminate()).toBe(0);
    for (const sink of SINKS) expect(compare(expected.sinks[sink], sinkLines(sink)).extra).toEqual([]);
    expect(compare(expectedDead, originals(deadLetters())).extra).toEqual([]);
    expect(server.errors).toEqual([]);
  });
});
