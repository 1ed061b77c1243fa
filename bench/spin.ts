/**
 * A guest that spins: from the end of the run that confirms it (its thread is killed for the second time) to the result of
 * the records behind it, with the spare thread warm. One JSON object.
 *
 *   node bench/spin.ts [--rounds 20]
 */
import { parseArgs } from 'node:util';
import { systemClock } from '../core/base/clock.ts';
import { silentLogger } from '../core/base/logger.ts';
import { Metrics } from '../core/base/metrics.ts';
import { openSandbox } from '../etl/sandbox/pool.ts';
import { assemble, chainOf, guestText, moduleOf, stepOf } from '../test/etl/sandbox/guests.ts';
import { batchOf, taskOf } from '../test/etl/sandbox/harness.ts';
import { percentiles } from './disk.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '20' } } });
/** A killed thread has its successor warm by then. */
const WARM_MS = 1500;

const guest = moduleOf(assemble(guestText()));
const latencies: number[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
  const metrics = new Metrics();
  const sandbox = openSandbox({ clock: systemClock, logger: silentLogger, metrics, workers: 1 });
  const killed = metrics.counter('millstream_sandbox_threads_replaced_total', '');
  const lane = sandbox.openLane(chainOf([stepOf(guest, { timeMs: 250 })]));
  await lane.run(taskOf([batchOf(['warm'])]));
  await new Promise(resolve => setTimeout(resolve, WARM_MS));
  let confirmed = 0;
  const watch = setInterval(() => {
    if (confirmed === 0 && killed.value >= 2) confirmed = performance.now();
  }, 0);
  await lane.run(taskOf([batchOf(['a', 'L', 'b'])]));
  latencies.push(performance.now() - confirmed);
  clearInterval(watch);
  await sandbox.close();
}
console.log(JSON.stringify({ case: 'after a spinning guest', rounds: latencies.length, ...percentiles(latencies) }));
process.exit();
