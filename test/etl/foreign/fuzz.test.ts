import { expect, test } from 'vitest';
import { MillstreamError } from '../../../core/base/errors.ts';
import { seededRandom } from '../../../core/base/random.ts';
import { inspect } from '../../../etl/sandbox/inspect.ts';
import { instrument } from '../../../etl/sandbox/instrument.ts';
import { chainOf, moduleOf, stepOf } from '../sandbox/guests.ts';
import { batchOf, outputOf, taskOf, valuesOf } from '../sandbox/harness.ts';
import { foreignGuests, guestNamed, useSandbox } from './built.ts';

const MUTANTS = 400;

foreignGuests('foreign guests: damaged modules', () => {
  const { sandbox } = useSandbox();

  test.each(['redpanda-identity', 'redpanda-mask', 'fluvio-map', 'fluvio-aggregate', 'record-transform'])(
    'bits of %s are flipped: refused, or run without harm, and every record is accounted for',
    async name => {
      const random = seededRandom(26);
      const below = (most: number): number => Math.floor(random.float() * most);
      const original = guestNamed(name);
      const values = ['{"a":1}', '2', 'x', '{}', '3'];
      const limits = { timeMs: 20, initTimeMs: 100, memoryBytes: 16 * 1024 * 1024 };
      let [ran, failed] = [0, 0];
      for (let i = 0; i < MUTANTS; i++) {
        const bytes = Uint8Array.from(original.bytes);
        // Most of a module is code and data: flips there are the ones that run.
        for (let flips = 1 + below(2); flips > 0; flips--) {
          const at = Math.floor(bytes.length * 0.05) + below(Math.floor(bytes.length * 0.95));
          bytes[at] = (bytes[at] as number) ^ (1 << below(8));
        }
        try {
          inspect(bytes);
          if (!WebAssembly.validate(instrument(bytes, limits.memoryBytes))) continue;
        } catch (error) {
          expect(error).toBeInstanceOf(MillstreamError);
          continue;
        }
        ran++;
        const lane = sandbox().openLane(chainOf([stepOf(moduleOf(bytes), limits)]));
        try {
          const result = await lane.run(taskOf([batchOf(values)]));
          const { in: given, emitted, dropped, passed, dead } = result.steps[0] as (typeof result.steps)[number];
          expect(given).toBe(values.length);
          expect(emitted + dropped + passed + dead).toBe(given);
          if (dead > 0) failed++;
        } catch (error) {
          expect(error).toMatchObject({ kind: 'invalid' });
          failed++;
        }
        await lane.close();
      }
      expect(ran).toBeGreaterThan(MUTANTS / 5);
      expect(failed).toBeGreaterThan(0);
      const healthy = sandbox().openLane(chainOf([stepOf(guestNamed('redpanda-identity'))]));
      expect(valuesOf(outputOf(await healthy.run(taskOf([batchOf(values)]))))).toEqual(values);
      await healthy.close();
    },
  );
});
