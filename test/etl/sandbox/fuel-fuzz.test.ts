import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { MillstreamError } from '../../../core/base/errors.ts';
import { seededRandom } from '../../../core/base/random.ts';
import { inspect } from '../../../etl/sandbox/inspect.ts';
import { instrument } from '../../../etl/sandbox/instrument.ts';
import { meter } from '../../../etl/sandbox/fuel/meter.ts';
import { assemble, chainOf, guestText, moduleOf, stepOf } from './guests.ts';
import { batchOf, outputOf, taskOf, testSandbox, valuesOf } from './harness.ts';

const MUTANTS = 5000;
/** Of those that V8 takes, so many really run. */
const RUN = 100;
const MEMORY = 16 * 1024 * 1024;
const scrubber = readFileSync(
  fileURLToPath(new URL('../../../modules/pii_scrubber/pii_scrubber.wasm', import.meta.url)),
);
const small = assemble(guestText());

/** Where the code section's contents are. */
function codeOf(bytes: Uint8Array): { from: number; to: number } {
  const code = inspect(bytes).sections.find(({ id }) => id === 10);
  if (!code) throw new Error('there is no code');
  return code;
}

function mutants(original: Uint8Array, seed: number, count = MUTANTS): Uint8Array[] {
  const random = seededRandom(seed);
  const below = (most: number): number => Math.floor(random.float() * most);
  const { from, to } = codeOf(original);
  return Array.from({ length: count }, () => {
    const bytes = Uint8Array.from(original);
    for (let changes = 1 + below(3); changes > 0; changes--) {
      const at = from + below(to - from);
      const kind = below(3);
      if (kind === 0) bytes[at] = (bytes[at] as number) ^ (1 << below(8));
      else if (kind === 1) bytes[at] = below(256);
      else {
        const length = below(Math.min(40, to - at));
        const source = from + below(to - from - length);
        bytes.copyWithin(at, source, source + length);
      }
    }
    return bytes;
  });
}

/** The metered module, or null when it is refused with a sentence. */
function metered(bytes: Uint8Array): Uint8Array | null {
  try {
    return meter(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(MillstreamError);
    expect(error).toMatchObject({ kind: 'invalid', code: 'MODULE_REFUSED' });
    return null;
  }
}

test.each([
  ['a small guest', small, MUTANTS],
  ['pii_scrubber', scrubber, MUTANTS / 5],
])('%s with damaged code is refused or exactly as sound as it was', (_name, original, count) => {
  let [sound, unsound, refused] = [0, 0, 0];
  for (const bytes of mutants(original, count, count)) {
    const limited = instrument(bytes, MEMORY);
    const isSound = WebAssembly.validate(limited);
    const result = metered(limited);
    if (result) expect(WebAssembly.validate(result)).toBe(isSound);
    // What V8 takes and we refuse can only be an instruction that is not listed: a damaged byte seldom makes one.
    if (isSound && result) sound++;
    else if (result) unsound++;
    else refused++;
  }
  expect(sound).toBeGreaterThan(count / 50);
  expect(unsound + refused).toBeGreaterThan(count / 4);
  expect(refused).toBeGreaterThan(count / 50);
});

test('noise is refused, or no module', () => {
  const random = seededRandom(5);
  const { from, to } = codeOf(small);
  for (let i = 0; i < 1000; i++) {
    const bytes = Uint8Array.from(small);
    for (let at = from + 3; at < to; at++) bytes[at] = Math.floor(random.float() * 256);
    const result = metered(bytes);
    if (result) expect(WebAssembly.validate(result)).toBe(false);
  }
});

test('damaged modules with fuel run without harm, and every record is accounted for', async () => {
  const sandbox = testSandbox();
  const text = ['a', 'R', '2', 'L', 'c'];
  const sound = mutants(small, 6).filter(bytes => WebAssembly.validate(instrument(bytes, MEMORY)));
  let outOfFuel = 0;
  for (const bytes of sound.slice(0, RUN)) {
    const limits = { timeMs: 2000, initTimeMs: 200, memoryBytes: MEMORY, fuel: 50_000 };
    const lane = sandbox.openLane(chainOf([stepOf(moduleOf(bytes), limits)]));
    try {
      const result = await lane.run(taskOf([batchOf(text)]));
      const { in: given, emitted, dropped, passed, dead } = result.steps[0] as (typeof result.steps)[number];
      expect(given).toBe(text.length);
      expect(emitted + dropped + passed + dead).toBe(given);
      const codes = result.dead?.letters.map(({ code }) => code) ?? [];
      expect(codes).not.toContain('TIMEOUT');
      if (codes.includes('FUEL')) outOfFuel++;
    } catch (error) {
      expect(error).toMatchObject({ kind: 'invalid' });
    }
    await lane.close();
  }
  expect(outOfFuel).toBeGreaterThan(RUN / 2);
  const healthy = sandbox.openLane(chainOf([stepOf(moduleOf(small), { fuel: 50_000 })]));
  expect(valuesOf(outputOf(await healthy.run(taskOf([batchOf(text)]))))).toEqual(['a', '2', '2', 'c']);
  await sandbox.close();
});
