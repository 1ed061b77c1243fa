import { describe, test } from 'vitest';
import { LogSimulation } from './crash-simulation.ts';

/*
 * A model of logs that lose power: random appends, reads, deletions, checkpoints, clean stops, kills and power cuts on a
 * disk that forgets. After each start: what was acknowledged or served is there, in order and byte for byte, without a
 * gap; what was deleted for good stays deleted; the observer's state is that of the batches; epochs only grow.
 */
const SEEDS = 200;

describe('on a disk that forgets what no completed sync covers', () => {
  for (let from = 0; from < SEEDS; from += 50) {
    test(`nothing promised is lost, whatever is cut when (seeds ${from} to ${from + 49})`, async () => {
      for (let seed = from; seed < from + 50; seed++) {
        try {
          await new LogSimulation(seed).run();
        } catch (error) {
          throw new Error(`seed ${seed}`, { cause: error });
        }
      }
    });
  }
});
