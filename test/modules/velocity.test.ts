import { fileURLToPath } from 'node:url';
import { parse } from 'smol-toml';
import { afterAll, expect, it } from 'vitest';
import { seededRandom } from '../../core/base/random.ts';
import { encodeBatch, readRecords } from '../../core/engine/records.ts';
import { ModuleStore } from '../../etl/sandbox/module-store.ts';
import { chainOf, stepOf } from '../etl/sandbox/guests.ts';
import { taskOf, testSandbox } from '../etl/sandbox/harness.ts';

/* The module in the real sandbox, in batches of several sizes, beside a count over the whole list of uses. */

const sandbox = testSandbox();
afterAll(() => sandbox.close());

const WINDOW = 60_000;
const MOST = 3;

interface Use {
  at: number;
  card: string;
}

/** Uses in some minutes, now and then one that comes late. */
function makeUses(seed: number, count: number): Use[] {
  const random = seededRandom(seed);
  let now = 1_700_000_000_000;
  return Array.from({ length: count }, () => {
    now += Math.floor(random.float() * 4000);
    const late = random.float() < 0.1 ? Math.floor(random.float() * 90_000) : 0;
    return { at: now - late, card: `card-${Math.floor(random.float() * 6)}` };
  });
}

const windowOf = (at: number): number => Math.floor(at / WINDOW);

/** What must come out, in order: nothing here is kept from one use to the next but the list itself. */
function expected(uses: Use[]): string[] {
  const lines: string[] = [];
  const inTime = (i: number): boolean =>
    windowOf(uses[i]?.at ?? 0) >= Math.max(...uses.slice(0, i + 1).map(({ at }) => windowOf(at)));
  uses.forEach(({ at, card }, i) => {
    const before = Math.max(...uses.slice(0, i).map(use => windowOf(use.at)), 0);
    if (i > 0 && windowOf(at) > before) {
      const counted = uses.slice(0, i).filter((use, j) => inTime(j) && windowOf(use.at) === before);
      const cards = [...new Set(counted.map(use => use.card))].toSorted();
      for (const each of cards) {
        const number = counted.filter(use => use.card === each).length;
        const from = before * WINDOW;
        lines.push(`windows {"card":"${each}","from":${from},"to":${from + WINDOW},"uses":${number}}`);
      }
    }
    if (!inTime(i)) lines.push(`default ${card} late`);
    else {
      const number = uses.slice(0, i + 1).filter((use, j) => {
        return use.card === card && inTime(j) && windowOf(use.at) === windowOf(at);
      }).length;
      lines.push(`${number > MOST ? 'suspect' : 'default'} ${card} ${number}`);
    }
  });
  return lines;
}

it.each([1, 7, 100, 400])('counts as a count over the whole list does, in batches of %i', async size => {
  const folder = fileURLToPath(new URL('../../modules', import.meta.url));
  const store = ModuleStore.load({ directories: [folder], parseToml: text => parse(text) });
  const module = store.get('velocity');
  if (!module) throw new Error('there is no module velocity');
  expect(module.state).toEqual({ version: 1, timers: true });
  const outputs = ['default', 'suspect', 'windows'];
  const chain = chainOf(
    [stepOf(module, { config: { most: MOST, summary: true } })],
    outputs.map(name => ({ name, topic: name, rehashPartitions: null, codec: 'none' })),
  );
  const uses = makeUses(7, 400);
  const found: Record<string, string[]> = { default: [], suspect: [], windows: [] };
  const lane = sandbox.openLane(chain);
  for (let at = 0; at < uses.length; at += size) {
    const records = uses.slice(at, at + size).map(use => ({
      timestamp: use.at,
      key: null,
      value: Buffer.from(JSON.stringify({ card: use.card })),
    }));
    const result = await lane.run(taskOf([encodeBatch(records, { baseOffset: at })]));
    for (const { route, batch } of result.outputs) {
      for (const { value, headers } of readRecords(batch)) {
        const text = Buffer.from(value ?? []).toString();
        const velocity = headers.find(([name]) => name === 'velocity')?.[1];
        const name = outputs[route] as string;
        const line = velocity ? `${(JSON.parse(text) as Use).card} ${Buffer.from(velocity).toString()}` : text;
        found[name]?.push(`${name} ${line}`);
      }
    }
  }
  const due = expected(uses);
  for (const name of outputs) expect(found[name]).toEqual(due.filter(line => line.startsWith(name)));
  expect(found['suspect']?.length).toBeGreaterThan(5);
  expect(due.filter(line => line.endsWith(' late')).length).toBeGreaterThan(5);
});
