import type { ConformanceWorld } from '../../connectors/runtime/conformance.ts';
import { seededRandom } from '../../core/base/random.ts';
import { ManualClock } from './manual-clock.ts';
import { MemoryEngine } from './memory-engine.ts';

/** The memory engine under a clock of its own; real input and output gets real time. */
export function memoryWorld(seed = 11): ConformanceWorld & { clock: ManualClock; engine: MemoryEngine } {
  const engine = new MemoryEngine();
  const clock = new ManualClock();
  return {
    engine,
    clock,
    random: seededRandom(seed),
    produce: (topic, partition, records) => engine.append(topic, partition, records),
    crash: () => engine.crash(),
    outlivesCrash: true,
    loseLeases: () => engine.crash(),
    async advance(milliseconds) {
      await clock.advance(milliseconds);
      await new Promise(resolve => setTimeout(resolve, 1));
    },
    committed: (group, topic, partition) => engine.position(group, topic, partition)?.next ?? null,
    values: topic => engine.records(topic).map(({ value }) => value ?? new Uint8Array()),
  };
}
