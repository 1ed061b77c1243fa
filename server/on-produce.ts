import { z } from 'zod';
import { suggest } from '../core/config/did-you-mean.ts';
import { MillstreamError } from '../core/base/errors.ts';
import { checkEnvironment, checkParams } from '../etl/abi/foreign-config.ts';
import { parseModuleRef } from '../etl/definition/module-ref.ts';
import type { PipelinePlan, StepPlan } from '../etl/definition/plan.ts';
import { secretsIn } from '../etl/definition/secrets.ts';
import type { ModuleStore } from '../etl/sandbox/module-store.ts';
import type { ChainStep, StoredModule } from '../etl/sandbox/sandbox.ts';
import type { ServerConfig } from './config/load-config.ts';

/** A topic whose records pass modules before they are stored. */
export interface ProducedTopicPlan {
  topic: string;
  plan: { steps: StepPlan[] };
  steps: ChainStep[];
}

type Given = ServerConfig['topics'][string]['etl_modules'][number];

/**
 * The modules of all `[topics.NAME] etl_modules`. Kind `invalid`, code BAD_CONFIG with all that is wrong: a topic whose
 * modules are not there must not take records.
 */
export function producedTopics(
  { topics }: Pick<ServerConfig, 'topics'>,
  modules: () => ModuleStore,
  chainStep: (step: StepPlan, module: StoredModule) => ChainStep,
  pipelines: readonly PipelinePlan[],
): ProducedTopicPlan[] {
  const wrong: string[] = [];
  const plans = Object.entries(topics).flatMap(([topic, { etl_modules: given }]): ProducedTopicPlan[] => {
    if (given.length === 0) return [];
    const store = modules();
    const found = given.flatMap((each, i) => {
      const step = readStep(each, store);
      if (typeof step !== 'string') return [step];
      wrong.push(`topics.${topic}.etl_modules[${i}]: ${step}`);
      return [];
    });
    const writer = pipelines.find(pipeline => writtenBy(pipeline).includes(topic));
    if (writer) {
      const how = 'make the module a step of the pipeline instead';
      wrong.push(`topics.${topic}.etl_modules: the pipeline \`${writer.name}\` writes to this topic past them; ${how}`);
    }
    const plan = { steps: found.map(({ step }) => step) };
    return [{ topic, plan, steps: found.map(({ step, module }) => chainStep(step, module)) }];
  });
  if (wrong.length === 0) return plans;
  throw new MillstreamError('invalid', 'BAD_CONFIG', `the configuration has errors\n${wrong.join('\n')}`);
}

/** Where a pipeline's records, dead letters among them, are stored. */
const writtenBy = ({ source, steps, outputs, deadLetterTopic }: PipelinePlan): string[] => [
  ...(source.connector ? [source.topic] : []),
  ...(steps.length > 0 ? outputs.map(({ topic }) => topic) : []),
  deadLetterTopic,
];

/** Why a module cannot run before records are stored; null: it can. */
export function unfitOnProduce({ name, state, form }: StoredModule): string | null {
  if (state || form === 'aggregate')
    return `\`${name}\` keeps state, which is committed with a pipeline's outputs: there is no commit here`;
  if (form === 'array_map') return `\`${name}\` makes several records of one: here one may become one or none`;
  return null;
}

/** The step and its module, or what is wrong. */
function readStep(given: Given, store: ModuleStore): { step: StepPlan; module: StoredModule } | string {
  const ref = parseModuleRef(given.module);
  if (!ref) return `"${given.module}" does not name a module: "name", "name@1.2" or "name@sha256:…"`;
  let module: StoredModule | null;
  try {
    module = store.get(ref.name, ref.version, ref.sha256);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if (!module) {
    const near = suggest(
      ref.name,
      store.list().map(({ name }) => name),
    );
    return `there is no module \`${given.module}\`${near ? ` (${near})` : ''}`;
  }
  const unfit = unfitOnProduce(module);
  if (unfit !== null) return unfit;
  const config = checkedConfig(module, given.config);
  if (typeof config === 'string') return config;
  const schema = module.configSchema ?? null;
  const step: StepPlan = {
    name: ref.name,
    module: ref,
    config: config.value,
    // Without a schema nobody says which values are: all may be.
    secrets: secretsIn(config.value, schema, () => true),
    onError: given.on_error,
    memoryBytes: given.limits.memory,
    timeMs: given.limits.time,
    ...(given.limits.fuel !== undefined && { fuel: given.limits.fuel }),
    maxFailuresInARow: null,
  };
  return { step, module };
}

function checkedConfig({ name, abi, configSchema }: StoredModule, given: unknown): { value: unknown } | string {
  const foreign = abi === 'redpanda' ? checkEnvironment : abi === 'fluvio' ? checkParams : null;
  for (const [key, why] of foreign?.(given) ?? []) return `config${key === '' ? '' : `.${key}`}: ${why}`;
  if (!configSchema) return { value: given };
  const checked = z.fromJSONSchema(configSchema as z.core.JSONSchema.JSONSchema).safeParse(given);
  if (checked.success) return { value: checked.data };
  return `the config of \`${name}\`: ${z.prettifyError(checked.error).replaceAll('\n', ' ')}`;
}
