import { afterAll, expect, test } from 'vitest';
import { SyncDomain } from '../../core/log/sync-domain.ts';
import { Simulation as CompactionSimulation } from '../core/log/compaction/simulation.ts';
import { LogSimulation } from '../core/log/crash-simulation.ts';
import type { Skips } from '../core/log/moments.ts';
import { STEERED_CUTS } from '../core/log/steered-cuts.ts';
import { countOr, report } from '../faults/settings.ts';
import { DEFECTS } from './mutants.ts';
import { Simulation } from './simulation.ts';
import { STEERED_FILES } from './steered-files.ts';
import { STEERED_SERVER } from './steered-server.ts';
import { STEERED_STARTS } from './steered-starts.ts';
import { siteOfSync, unmetSyncCalls } from './sync-sites.ts';

/*
 * The proof that the power cuts prove something: each sync call of the product taken out by itself, and defects of other
 * kinds. One of the suites that meet the call must fail within 50 seeds; the table says which did, after how many.
 * Which calls there are is found twice: by the stacks of normal runs, which name the mutants, and in the sources, where
 * nothing may look like a sync call that no run has met.
 */
const SEEDS = countOr(50);

/** In the order in which they are asked; `turns`: how many of their seeds the cheap ones run before the next suite does. */
const SUITES: { name: string; turns: number; run: (seed: number, skips: Skips) => Promise<unknown> }[] = [
  ...Object.entries({ ...STEERED_CUTS, ...STEERED_FILES, ...STEERED_SERVER, ...STEERED_STARTS }).map(([name, run]) => ({
    name,
    turns: 5,
    run,
  })),
  { name: 'power cuts', turns: 1, run: (seed, skipsSync) => new Simulation(seed, { skipsSync }).run() },
  { name: 'log crashes', turns: 1, run: (seed, skips) => new LogSimulation(seed, skips).run() },
  { name: 'compaction crashes', turns: 1, run: (seed, skips) => new CompactionSimulation(seed, skips).run() },
];
/** Normal runs, of each suite, that tell which syncs there are. */
const NORMAL_SEEDS = 6;

/** Lines that look like a sync call and are met by no run, without their numbers, and why. */
const NOT_MET: Record<string, string> = {
  'core/log/local-log-store.ts for (const log of this.logs.values()) if (log.isDirty) void this.context.sync.requestSync(log);':
    'the background flush of logs whose appends are acknowledged without a sync',
};

interface Caught {
  seeds: number;
  suite: string;
  how: string;
}

async function failureOf(run: () => Promise<unknown>): Promise<string | null> {
  try {
    await run();
    return null;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return message.replace(/\s+/g, ' ').slice(0, 90);
  }
}

/** Asks the suites in turns, until one fails. */
async function caught(suites: typeof SUITES, skips: Skips): Promise<Caught | null> {
  const done = new Map<string, number>();
  for (let round = 0; round < SEEDS; round++) {
    for (const { name, turns, run } of suites) {
      for (let i = 0; i < turns; i++) {
        const seed = done.get(name) ?? 0;
        if (seed >= SEEDS) break;
        done.set(name, seed + 1);
        const how = await failureOf(() => run(seed, skips));
        if (how !== null) return { seeds: seed + 1, suite: name, how };
      }
    }
  }
  return null;
}

/** A sync that is asked of the domain as a whole is answered at once while `skips` says so. */
async function withoutRequests<T>(skips: () => boolean, work: () => Promise<T>): Promise<T> {
  const requestSync = Object.getOwnPropertyDescriptor(SyncDomain.prototype, 'requestSync') as PropertyDescriptor;
  const real = requestSync.value as SyncDomain['requestSync'];
  SyncDomain.prototype.requestSync = function (target) {
    return skips() ? Promise.resolve() : real.call(this, target);
  };
  try {
    return await work();
  } finally {
    Object.defineProperty(SyncDomain.prototype, 'requestSync', requestSync);
  }
}

const table: { mutant: string; caught: Caught | null }[] = [];

afterAll(() => {
  const lines = table.map(({ mutant, caught: found }) => {
    return `${String(found?.seeds ?? '-').padStart(3)}  ${mutant}\n       ${found ? `${found.suite}: ${found.how}` : 'NOT MISSED'}`;
  });
  console.log(`seeds until a suite failed\n${lines.join('\n')}`);
  const mutants = Object.fromEntries(
    table.map(({ mutant, caught: found }) => [mutant, found ? `${found.suite} ${found.seeds}` : null]),
  );
  report('mutation', { seeds: SEEDS, mutants });
});

for (const [name, seams] of Object.entries(DEFECTS)) {
  test(`the suite fails when ${name}`, async () => {
    const run = (seed: number): Promise<unknown> => new Simulation(seed, { seams }).run();
    const found = await caught([{ name: 'power cuts', turns: 1, run }], () => false);
    table.push({ mutant: name, caught: found });
    expect(found).not.toBeNull();
  });
}

test('the suites fail when any single sync call is taken out', { timeout: 1_800_000 }, async () => {
  const [calls, requests] = [new Map<string, typeof SUITES>(), new Map<string, typeof SUITES>()];
  for (const suite of SUITES) {
    const noteIn =
      (sites: typeof calls) =>
      (path?: string): boolean => {
        const site = siteOfSync(path);
        const suites = sites.get(site) ?? [];
        if (!suites.includes(suite)) sites.set(site, [...suites, suite]);
        return false;
      };
    await withoutRequests(noteIn(requests), async () => {
      for (let seed = 0; seed < NORMAL_SEEDS; seed++) await suite.run(seed, noteIn(calls));
    });
  }
  const unmet = unmetSyncCalls().filter(line => !(line.replace(/:\d+/, '') in NOT_MET));
  expect(unmet, 'calls that no run has met').toEqual([]);

  const byName = ([a]: [string, unknown], [b]: [string, unknown]): number => (a < b ? -1 : 1);
  for (const [site, suites] of [...calls].toSorted(byName)) {
    table.push({ mutant: site, caught: await caught(suites, path => siteOfSync(path) === site) });
  }
  for (const [site, suites] of [...requests].toSorted(byName)) {
    // Those of appends are one of the defects above.
    if (site.includes('LocalPartitionLog.append')) continue;
    const skips = (): boolean => siteOfSync() === site;
    table.push({ mutant: site, caught: await withoutRequests(skips, () => caught(suites, () => false)) });
  }
  const missed = table.filter(({ caught: found }) => found === null);
  expect(missed.map(({ mutant }) => mutant)).toEqual([]);
});
