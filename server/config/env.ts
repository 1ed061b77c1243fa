import type { z } from 'zod';
import { nearest } from '../../core/config/did-you-mean.ts';
import { knownKeys } from '../../core/config/schema-walk.ts';
import { serverConfigSchema } from './schema.ts';

/*
 * MILLSTREAM_<SECTION>_<KEY> overrides a key of millstream.toml. Names are looked up in the schema's own list, never
 * split at underscores: MILLSTREAM_ETL_BATCH_RECORDS is etl.batch_records.
 */

/** Short names that RustMQ's users know (spec/surface.md 7). */
export const ALIASES: Readonly<Record<string, string>> = {
  MILLSTREAM_RACK_ID: 'broker.rack_id',
  MILLSTREAM_LOG_LEVEL: 'broker.log_level',
  MILLSTREAM_STORAGE_BUCKET: 'object_storage.bucket',
  MILLSTREAM_STORAGE_REGION: 'object_storage.region',
  MILLSTREAM_CACHE_SIZE: 'cache.read_cache_size_bytes',
  MILLSTREAM_MAX_CONNECTIONS: 'network.max_connections',
  MILLSTREAM_BATCH_SIZE: 'etl.batch_records',
};

/** Read by others: the command line, the BigQuery container, and what Kubernetes sets for a service of our name. */
const FOREIGN = /^MILLSTREAM_(CONFIG|TOPIC|BROKERS|TLS_.*|SASL_.*|SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_.*)?)$/;

/** Every key that can be overridden, by variable name; computed from the schema. `topics` have names of their own. */
export function environmentNames(schema: z.ZodType = serverConfigSchema): Map<string, string[]> {
  const names = new Map<string, string[]>();
  const walk = (path: string[]): void => {
    const keys = knownKeys(schema, path);
    if (keys.length === 0 && path.length > 1) names.set(`MILLSTREAM_${path.join('_').toUpperCase()}`, path);
    for (const key of keys) if (path.length > 0 || key !== 'topics') walk([...path, key]);
  };
  walk([]);
  for (const [name, key] of Object.entries(ALIASES)) names.set(name, key.split('.'));
  return names;
}

export interface Override {
  name: string;
  path: string[];
  value: string;
}

/** What the environment overrides, and names that look like ours but are not known. */
export function overridesFrom(env: Readonly<Record<string, string | undefined>>): {
  overrides: Override[];
  unknown: { name: string; near: string | null }[];
} {
  const names = environmentNames();
  const overrides: Override[] = [];
  const unknown: { name: string; near: string | null }[] = [];
  for (const [name, value] of Object.entries(env).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (!name.startsWith('MILLSTREAM_') || value === undefined || FOREIGN.test(name)) continue;
    const path = names.get(name);
    if (path) overrides.push({ name, path, value });
    else unknown.push({ name, near: nearest(name, names.keys()) });
  }
  // The full name wins over a short one.
  overrides.sort((a, b) => Number(b.name in ALIASES) - Number(a.name in ALIASES));
  return { overrides, unknown };
}
