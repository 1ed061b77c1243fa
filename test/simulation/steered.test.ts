import { test } from 'vitest';
import { STEERED_FILES } from './steered-files.ts';
import { STEERED_SERVER } from './steered-server.ts';
import { STEERED_STARTS } from './steered-starts.ts';

const SEEDS = 20;

for (const [name, run] of Object.entries({ ...STEERED_FILES, ...STEERED_SERVER, ...STEERED_STARTS })) {
  test(`${name}: nothing promised is lost (seeds 0 to ${SEEDS - 1})`, async () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      await run(seed, () => false).catch((error: unknown) => {
        throw new Error(`seed ${seed}`, { cause: error });
      });
    }
  });
}
