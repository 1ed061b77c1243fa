import { z } from 'zod';
import type { StoredModule } from '../../etl/sandbox/sandbox.ts';

/** What the module's own schema says against a step's config; null: nothing, or there is no schema. */
export function configMisfit({ configSchema }: StoredModule, config: unknown): string | null {
  if (!configSchema) return null;
  const checked = z.fromJSONSchema(configSchema as z.core.JSONSchema.JSONSchema).safeParse(config);
  return checked.success ? null : z.prettifyError(checked.error).replaceAll('\n', ' ');
}
