import { type Diagnostic, hasErrors, sortDiagnostics } from '../../core/config/diagnostic.ts';
import { diagnosticAt } from '../../core/config/diagnostic-at.ts';
import { interpolate } from '../../core/config/interpolate.ts';
import { dotted, parseToml, type Path, type TomlDocument, valueIn } from '../../core/config/toml.ts';
import { check } from '../../core/config/zod-diagnostics.ts';
import { overridesFrom } from './env.ts';
import { IN_CLUSTER, IN_PROCESS, type KeyStatus, NOT_YET, REPLACED } from './key-status.ts';
import { atVariable, pointAtEnvironment, withValue } from './overlay.ts';
import { type ParsedConfig, serverConfigSchema } from './schema.ts';
import { formatAddress } from './values.ts';

export type StorageType = 'none' | 'local' | 's3' | 'gcs' | 'azure';

/** Every key has a value; names are those of the file. */
export interface ServerConfig extends Omit<ParsedConfig, 'object_storage'> {
  object_storage: Omit<ParsedConfig['object_storage'], 'type' | 'storage_type'> & { type: StorageType };
  wal: ParsedConfig['wal'] & { path: string };
}

export type Origin =
  | { from: 'file'; file: string; line: number }
  | { from: 'environment'; name: string }
  | { from: 'default' };

export interface LoadOptions {
  /** null: there is no file; defaults and environment say everything. */
  file: string | null;
  env: Readonly<Record<string, string | undefined>>;
  /** Throws when the file cannot be read. */
  readFile: (path: string) => string;
  /** Cores of this machine: `etl.workers` = 0 means one less, at least one. */
  cores: number;
}

export interface LoadedConfig {
  /** null when there are errors. */
  config: ServerConfig | null;
  diagnostics: Diagnostic[];
  /** Where a key's value comes from; every key that is not named here has its default. */
  origins: ReadonlyMap<string, Origin>;
  /** The file's text, for code frames. */
  text: string;
}

/** Reads `millstream.toml`, lays the environment over it, checks everything. Never throws for what they say. */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const file = options.file ?? 'millstream.toml';
  const fail = (message: string): LoadedConfig => ({
    config: null,
    diagnostics: [{ file, line: 0, column: 0, severity: 'error', message }],
    origins: new Map(),
    text: '',
  });
  let text = '';
  if (options.file !== null) {
    try {
      text = options.readFile(options.file);
    } catch (error) {
      return fail(`cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const { document, diagnostics } = parseToml(text, file);
  if (!document) return { config: null, diagnostics, origins: new Map(), text };

  const interpolated = interpolate(document, { mode: 'run', env: options.env, readFile: options.readFile });
  const origins = originsIn(document);
  const { overrides, unknown } = overridesFrom(options.env);
  let value: unknown = interpolated.value;
  for (const each of overrides) {
    value = withValue(value, each.path, each.value);
    interpolated.touched.add(dotted(each.path));
    origins.set(dotted(each.path), { from: 'environment', name: each.name });
  }
  const checked = check(serverConfigSchema, value, {
    document,
    touched: interpolated.touched,
    unresolved: interpolated.unresolved,
  });
  const all = [...interpolated.diagnostics, ...checked.diagnostics].map(each => fromEnvironment(each, origins));
  for (const { name, near } of unknown) {
    all.push({
      ...atVariable(name, 'warning', 'no key of millstream.toml has this name'),
      ...(near ? { help: `did you mean ${near}?` } : {}),
    });
  }
  let config: ServerConfig | null = null;
  if (checked.data) {
    config = finish(checked.data, options.cores);
    all.push(...conflictsIn(config, document).map(each => fromEnvironment(each, origins)));
  }
  const judged = new Set(all.map(each => each.path));
  const home = kindOf(value) === 'kafka' ? IN_CLUSTER : IN_PROCESS;
  const idle = statusOf(value, document, [...home, ...NOT_YET, ...REPLACED]).filter(each => !judged.has(each.path));
  all.push(...idle.map(each => fromEnvironment(each, origins)));
  const sorted = sortDiagnostics(all);
  return { config: hasErrors(sorted) ? null : config, diagnostics: sorted, origins, text };
}

function finish(parsed: ParsedConfig, cores: number): ServerConfig {
  const { type, storage_type: alias, ...storage } = parsed.object_storage;
  const kind = type ?? alias ?? 'none';
  return {
    ...parsed,
    etl: { ...parsed.etl, workers: parsed.etl.workers || Math.max(1, cores - 1) },
    wal: { ...parsed.wal, path: parsed.wal.path ?? `${parsed.broker.data_dir.replace(/\/+$/, '')}/log` },
    object_storage:
      typeof kind === 'string'
        ? { ...storage, type: kind }
        : { ...storage, type: 'local', bucket: storage.bucket ?? kind.local },
  };
}

/** Values that are right one by one but not together. */
function conflictsIn(config: ServerConfig, document: TomlDocument): Diagnostic[] {
  const found: Diagnostic[] = [];
  const say = (path: Path, message: string, help: string): void => {
    found.push(diagnosticAt(document, path, 'value', { message, help }));
  };
  const { kafka_listen: kafka, http_listen: http, max_request_bytes: request } = config.network;
  if (kafka.port !== 0 && kafka.port === http.port && kafka.host === http.host) {
    const both = `\`network.kafka_listen\` and \`network.http_listen\` are both ${formatAddress(kafka)}`;
    const key = document.has(['network', 'http_listen']) ? 'http_listen' : 'kafka_listen';
    say(['network', key], both, 'give them different ports');
  }
  if (config.network.advertised?.port === 0) {
    say(['network', 'advertised'], '`network.advertised` has port 0', 'clients need a port that they can connect to');
  }
  if (config.broker.max_message_bytes > request) {
    const message = '`broker.max_message_bytes` is more than `network.max_request_bytes`';
    say(
      ['broker', 'max_message_bytes'],
      message,
      'raise `network.max_request_bytes` too: a batch travels in one request',
    );
  }
  for (const [name, topic] of Object.entries(config.topics)) {
    if (config.etl.enabled || topic.etl_modules.length === 0) continue;
    const message = `\`topics.${name}.etl_modules\` is set, but \`etl.enabled\` is false`;
    say(['topics', name, 'etl_modules'], message, 'records must not be stored without passing them');
  }
  if (config.engine.kind === 'kafka' && config.engine.kafka.brokers.length === 0) {
    const message = '`engine.kind` is "kafka", but `engine.kafka.brokers` names none';
    say(['engine', 'kind'], message, 'brokers = ["host:port", ...] below [engine.kafka]');
  }
  return found;
}

function kindOf(value: unknown): string {
  const kind = valueIn(value, ['engine', 'kind']);
  return typeof kind === 'string' ? kind.toLowerCase() : '';
}

/** Keys that are set but do not act. */
function statusOf(value: unknown, document: TomlDocument, statuses: readonly KeyStatus[]): Diagnostic[] {
  const found: Diagnostic[] = [];
  const walk = (at: unknown, path: string[]): void => {
    const isTable = typeof at === 'object' && at !== null && !Array.isArray(at);
    const status = path.length > 1 ? statuses.find(each => matches(each.key, path)) : undefined;
    if (status && (!isTable || status.key !== `${path[0]}.*`)) {
      const shown = JSON.stringify(typeof at === 'string' ? at.toLowerCase() : at);
      if (at === '' || status.harmless?.some(each => JSON.stringify(each) === shown)) return;
      const message = `\`${dotted(path)}\` ${status.message}`;
      found.push(diagnosticAt(document, path, 'key', { severity: status.severity, message }));
      return;
    }
    if (isTable) for (const [key, child] of Object.entries(at)) walk(child, [...path, key]);
  };
  walk(value, []);
  return found;
}

function matches(key: string, path: readonly string[]): boolean {
  const parts = key.split('.');
  if (parts.at(-1) === '*' ? path.length < parts.length - 1 : path.length !== parts.length) return false;
  return parts.every((part, i) => part === '*' || part === path[i]);
}

function originsIn(document: TomlDocument): Map<string, Origin> {
  const origins = new Map<string, Origin>();
  const walk = (at: unknown, path: Path): void => {
    if (typeof at === 'object' && at !== null && !Array.isArray(at)) {
      for (const [key, child] of Object.entries(at)) walk(child, [...path, key]);
    } else origins.set(dotted(path), { from: 'file', file: document.file, line: document.keyAt(path).line });
  };
  walk(document.value, []);
  return origins;
}

/** A finding about a value that the environment gave points there, not into the file. */
function fromEnvironment(diagnostic: Diagnostic, origins: ReadonlyMap<string, Origin>): Diagnostic {
  const origin = origins.get(diagnostic.path ?? '');
  return pointAtEnvironment(diagnostic, origin?.from === 'environment' ? origin.name : undefined);
}
