import { z } from 'zod';
import { type Path, valueIn } from '../../core/config/toml.ts';
import { checkEnvironment, checkParams } from '../abi/foreign-config.ts';
import type { Checker } from './checker.ts';
import type { FoundModule } from './module-ref.ts';

/** Keys of `[[step]]` that are easily written below `[step.config]` by mistake. */
const STEP_KEYS = ['name', 'module', 'on_error', 'limits', 'max_failures'];

/** Checks a step's config against the module's own JSON Schema; gives it with the defaults that the schema names. */
export function checkModuleConfig(module: FoundModule, config: unknown, path: Path, checker: Checker): unknown {
  checkJson(config, path, checker);
  checkForeign(module, config, path, checker);
  if (!module.configSchema) {
    for (const key of STEP_KEYS) {
      if (valueIn(config, [key]) === undefined) continue;
      const help = 'in TOML a key belongs to the header above it: move it above `[step.config]` if the step is meant';
      checker.warning([...path, key], `\`${key}\` is part of the module's config here`, help, 'key');
    }
    return config;
  }
  let schema: z.ZodType;
  try {
    schema = z.fromJSONSchema(module.configSchema as z.core.JSONSchema.JSONSchema);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    checker.warning(path, `the config of \`${module.name}\` is not checked: its own schema cannot be read (${reason})`);
    return config;
  }
  return checker.table(schema, config, path);
}

/** What the ABIs of others can carry of it. */
function checkForeign({ abi }: FoundModule, config: unknown, path: Path, checker: Checker): void {
  const check = abi === 'redpanda' ? checkEnvironment : abi === 'fluvio' ? checkParams : null;
  for (const [key, why] of check?.(config) ?? [])
    checker.error(key === '' ? path : [...path, key], why, undefined, 'key');
}

/** TOML has numbers that JSON cannot carry. */
function checkJson(value: unknown, path: Path, checker: Checker): void {
  if (typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))) {
    checker.error(path, `${String(value)} cannot be written as JSON exactly`, 'write it as text');
  } else if (Array.isArray(value)) {
    value.forEach((each: unknown, i) => checkJson(each, [...path, i], checker));
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, each] of Object.entries(value)) checkJson(each, [...path, key], checker);
  }
}
