import { SECURITY_VARIABLES } from '../config/security.ts';

/*
 * The BigQuery container is driven by its environment (spec/surface.md 4); each variable is a key of its TOML form and
 * wins over the file.
 */
export const ENVIRONMENT: Readonly<Record<string, readonly string[]>> = {
  GCP_PROJECT_ID: ['project_id'],
  BIGQUERY_DATASET: ['dataset'],
  BIGQUERY_TABLE: ['table'],
  MILLSTREAM_TOPIC: ['subscription', 'topic'],
  MILLSTREAM_BROKERS: ['subscription', 'broker_endpoints'],
  ...Object.fromEntries(
    Object.entries(SECURITY_VARIABLES).map(([name, path]): [string, readonly string[]] => [
      name,
      ['subscription', ...path],
    ]),
  ),
  AUTH_METHOD: ['auth', 'method'],
  MAX_ROWS_PER_BATCH: ['batch', 'records'],
  MAX_BATCH_SIZE_BYTES: ['batch', 'bytes'],
  MAX_BATCH_LATENCY_MS: ['batch', 'linger'],
  MAX_CONCURRENT_BATCHES: ['batch', 'concurrent'],
  SCHEMA_MAPPING: ['schema', 'mapping'],
  AUTO_CREATE_TABLE: ['auto_create_table'],
  MAX_RETRIES: ['retry', 'attempts'],
  RETRY_BASE_MS: ['retry', 'from'],
  RETRY_MAX_MS: ['retry', 'to'],
  DEAD_LETTER_ACTION: ['dead_letter', 'action'],
  DEAD_LETTER_TOPIC: ['dead_letter', 'topic'],
  DEAD_LETTER_FILE: ['dead_letter', 'file'],
  WRITE_METHOD: ['write_method'],
  BIGQUERY_EMULATOR_HOST: ['endpoint'],
  BIGQUERY_STORAGE_EMULATOR_HOST: ['storage_endpoint'],
  MILLSTREAM_NETWORK_HTTP_LISTEN: ['network', 'http_listen'],
  MILLSTREAM_BROKER_LOG_LEVEL: ['log_level'],
  MILLSTREAM_LOG_LEVEL: ['log_level'],
};

/** Read by the library that looks for credentials; named here, so that the reference is complete. */
export const ELSEWHERE: readonly string[] = ['CONFIG_FILE', 'GOOGLE_APPLICATION_CREDENTIALS'];

export interface Override {
  name: string;
  path: readonly string[];
  value: string;
}

/** What the environment says; an empty variable says nothing, as container platforms set those for what is left out. */
export function environmentOverrides(env: Readonly<Record<string, string | undefined>>): Override[] {
  return Object.entries(ENVIRONMENT).flatMap(([name, path]) => {
    const value = env[name];
    return value === undefined || value === '' ? [] : [{ name, path, value }];
  });
}

/** The variable that sets a key; null: only the file can. */
export function variableOf(path: string): string | null {
  return Object.entries(ENVIRONMENT).find(([, key]) => key.join('.') === path)?.[0] ?? null;
}
