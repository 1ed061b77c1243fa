import type { GuestSetup } from '../abi/guest.ts';
import type { ChainSpec, ChainStep } from './sandbox.ts';

/** What the instances of a step are told, as it can be cloned. */
export function setupOf(spec: ChainSpec, step: ChainStep): GuestSetup {
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
  };
}
