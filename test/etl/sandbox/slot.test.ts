import type { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { systemClock } from '../../../core/base/clock.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { SlotLane } from '../../../etl/sandbox/lane.ts';
import { ModuleCompiler } from '../../../etl/sandbox/module-compiler.ts';
import { Slot } from '../../../etl/sandbox/slot.ts';
import { Thread } from '../../../etl/sandbox/thread.ts';
import { assemble, chainOf, guestText, moduleOf, stepOf } from './guests.ts';
import { batchOf, outputOf, taskOf, valuesOf } from './harness.ts';

/** Spins for a while on records that begin with `Z`. */
const special = `(if (i32.eq (local.get $kind) (i32.const 90)) (then
  (loop $z (br_if $z (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 400000000))))))`;

/** Ends the worker from outside, as running out of memory would. */
async function end(thread: Thread): Promise<void> {
  const { threads } = Reflect.get(thread, 'pool') as { threads: Worker[] };
  await threads[0]?.terminate();
}

test('a worker thread that ends by itself is replaced, busy or idle, and nothing is lost', async () => {
  const threads: Thread[] = [];
  const replaced = new Metrics().counter('replaced', '');
  const takeSpare = (): Thread => {
    const thread = new Thread(null);
    threads.push(thread);
    return thread;
  };
  const slot = new Slot(
    {
      clock: systemClock,
      logger: silentLogger,
      takeSpare,
      threadsReplaced: replaced,
      offended: () => null,
      emptied: () => {},
    },
    takeSpare(),
  );
  const compiler = new ModuleCompiler(systemClock, () => new Thread(null));
  const spec = chainOf([stepOf(moduleOf(assemble(guestText({ special }))), { timeMs: 10_000 })]);
  const lane = new SlotLane(
    1,
    spec,
    slot,
    () => 0,
    () => {},
  );
  slot.add(lane);
  lane.ready(await compiler.chain(spec));

  const busy = lane.run(taskOf([batchOf(['a', 'Z', 'b'])]));
  const behind = lane.run(taskOf([batchOf(['c'])]));
  // Until the guest is really at work.
  while ((threads[0] as Thread).cell[4] !== 1) await new Promise(resolve => setTimeout(resolve, 1));
  await end(threads[0] as Thread);
  const results = await Promise.all([busy, behind]);
  expect(results.map(result => valuesOf(outputOf(result)))).toEqual([['a', 'Z', 'b'], ['c']]);
  expect(results[0].dead).toBeNull();
  expect(replaced.value).toBe(1);

  await end(threads[1] as Thread);
  expect(valuesOf(outputOf(await lane.run(taskOf([batchOf(['d'])]))))).toEqual(['d']);
  expect(replaced.value).toBe(2);
  await lane.close();
  await slot.close(new Error('closed'));
  await compiler.close();
});
