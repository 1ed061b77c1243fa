import type { GuestSetup } from '../abi/guest.ts';
import type { ChainSpec, ChainStep } from './sandbox.ts';

/** What the instances of a step are told, as it can be cloned. `fuelExport`: where its compiled module keeps what is left. */
export function setupOf(spec: ChainSpec, step: ChainStep, fuelExport: string | null = null): GuestSetup {
  const { topic, partition } = spec.source;
  return {
    pipeline: spec.pipeline,
    step: step.name,
    // TOML has dates, which JSON carries as text.
    config: JSON.parse(JSON.stringify(step.config ?? {})),
    topic,
    partition,
    outputs: spec.outputs.map(output => ({ name: output.name, topic: output.topic })),
    memoryBytes: step.memoryBytes,
    lookBack: step.lookBack ?? null,
    schemas: step.schemas ?? null,
    fuel: typeof step.fuel === 'number' && fuelExport !== null ? { perRecord: step.fuel, name: fuelExport } : null,
  };
}
