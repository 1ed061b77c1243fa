import { expect, test } from 'vitest';
import { MillstreamError } from '../../../core/base/errors.ts';
import { inspect } from '../../../etl/sandbox/inspect.ts';
import { instrument } from '../../../etl/sandbox/instrument.ts';
import type { LaneTask } from '../../../etl/sandbox/sandbox.ts';
import { assemble, chainOf, guestText, moduleOf, stepOf } from './guests.ts';
import { batchOf, outputOf, taskOf, testSandbox, valuesOf } from './harness.ts';

const MUTANTS = 10_000;
/** Of those that inspection takes, so many really run. */
const RUN = 150;

/** A small generator, so that every run sees the same mutants (Mulberry32, public domain). */
function randomFrom(seed: number): (below: number) => number {
  return below => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const original = assemble(guestText());
const text = ['a', 'R', '2', 'c'];

function mutant(random: (below: number) => number): Uint8Array {
  const bytes = Uint8Array.from(original);
  if (random(10) === 0) return bytes.subarray(0, random(bytes.length));
  for (let flips = 1 + random(3); flips > 0; flips--) {
    const at = random(bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << random(8));
  }
  return bytes;
}

test('10,000 damaged modules are refused with a sentence or run without harm', async () => {
  const random = randomFrom(20_261_121);
  const taken: Uint8Array[] = [];
  let refused = 0;
  for (let i = 0; i < MUTANTS; i++) {
    const bytes = mutant(random);
    try {
      inspect(bytes);
      const limited = instrument(bytes, 16 * 1024 * 1024);
      if (WebAssembly.validate(limited)) taken.push(bytes);
      else refused++;
    } catch (error) {
      expect(error).toBeInstanceOf(MillstreamError);
      expect(error).toMatchObject({ kind: 'invalid', code: 'MODULE_REFUSED' });
      refused++;
    }
  }
  // Both ends of the road are really travelled.
  expect(refused).toBeGreaterThan(MUTANTS / 4);
  expect(taken.length).toBeGreaterThan(RUN);

  const sandbox = testSandbox();
  const task = (): LaneTask => taskOf([batchOf(text)]);
  for (const bytes of taken.slice(0, RUN)) {
    const limits = { timeMs: 10, initTimeMs: 50, memoryBytes: 16 * 1024 * 1024 };
    const lane = sandbox.openLane(chainOf([stepOf(moduleOf(bytes), limits)]));
    try {
      const result = await lane.run(task());
      expect(result.records).toBe(text.length);
      const { in: given, emitted, dropped, passed, dead } = result.steps[0] as (typeof result.steps)[number];
      expect(emitted + dropped + passed + dead).toBe(given);
    } catch (error) {
      expect(error).toMatchObject({ kind: 'invalid' });
    }
    await lane.close();
  }
  const healthy = sandbox.openLane(chainOf([stepOf(moduleOf(original))]));
  expect(valuesOf(outputOf(await healthy.run(task())))).toEqual(['a', '2', '2', 'c']);
  await sandbox.close();
});
