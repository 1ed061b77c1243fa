import { z } from 'zod';
import { duration, size } from '../../core/base/units.ts';
import { type Diagnostic, hasErrors, renderDiagnostics, sortDiagnostics } from '../../core/config/diagnostic.ts';
import { diagnosticAt } from '../../core/config/diagnostic-at.ts';
import { nearest } from '../../core/config/did-you-mean.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import { interpolate } from '../../core/config/interpolate.ts';
import { dotted, parseToml } from '../../core/config/toml.ts';
import { check } from '../../core/config/zod-diagnostics.ts';
import { pointAtEnvironment, withValue } from '../config/overlay.ts';
import { securityKeys } from '../config/security.ts';
import { address, choice } from '../config/values.ts';
import { ENVIRONMENT, environmentOverrides, variableOf } from './environment.ts';

const TOPIC = /^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/;

const topic = z.string().regex(TOPIC, 'a topic name has 1 to 249 of the characters a-z, A-Z, 0-9, ., _ and -');

/** What the subscriber reads itself; every other key of its file is the BigQuery connector's. */
const OWN = {
  subscription: z.strictObject({
    topic: topic.describe('The topic to read'),
    broker_endpoints: z
      .array(z.string().min(1))
      .min(1)
      .default(['127.0.0.1:9092'])
      .describe('host:port of Kafka-protocol brokers'),
    start: choice(['earliest', 'latest']).default('earliest').describe('Where a first start begins'),
    session_timeout: duration({ min: 1000 })
      .default(30_000)
      .describe('A subscriber that the brokers do not hear for this long loses its partitions to others'),
    ...securityKeys,
  }),
  batch: z
    .strictObject({
      records: z.number().int().min(1).max(50_000).default(1000),
      bytes: size({ min: 1 }).default(10_485_760),
      linger: duration().default(1000),
      concurrent: z.number().int().min(1).max(100).default(10).describe('Batches under way at a time'),
    })
    .prefault({}),
  retry: z
    .strictObject({
      attempts: z.number().int().min(1).default(3),
      from: duration({ min: 1 }).default(1000),
      to: duration({ min: 1 }).default(30_000),
      on_exhausted: choice(['wait', 'dead_letter', 'stop']).default('wait'),
    })
    .prefault({}),
  dead_letter: z
    .strictObject({
      action: choice(['log', 'drop', 'dead_letter_queue', 'file']).default('log'),
      topic: topic.optional().describe('For `dead_letter_queue`; left out: <topic>.dead'),
      file: z.string().min(1).optional().describe('For `file`; left out: ./dead-letter/<topic>.ndjson'),
    })
    .prefault({}),
  network: z.strictObject({ http_listen: address.default({ host: '0.0.0.0', port: 8080 }) }).prefault({}),
  log_level: choice(['debug', 'info', 'warn', 'error']).default('info'),
  graceful_shutdown_timeout_ms: duration({ min: 1 }).default(30_000),
};
const ownSchema = z.strictObject(OWN);

type Env = Readonly<Record<string, string | undefined>>;

export interface SubscriberSettings extends z.output<typeof ownSchema> {
  /** Output of the connector's schema. */
  connector: unknown;
}

export interface SubscriberSource {
  /** The TOML file; null: the environment says everything. */
  file: string | null;
  env: Env;
  /** Throws when the file cannot be read. */
  readFile: (path: string) => string;
  connectorSchema: z.ZodType;
}

/** Reads file and environment. Kind `invalid`, code BAD_CONFIG when something is missing or wrong: all of it is named. */
export function readSubscriberSettings({ file, env, readFile, connectorSchema }: SubscriberSource): SubscriberSettings {
  const shownFile = file ?? 'the environment';
  const text = file === null ? '' : textOf(file, readFile);
  const { document, diagnostics } = parseToml(text, shownFile);
  const fail = (found: readonly Diagnostic[]): never => {
    const shown = renderDiagnostics(sortDiagnostics(found), () => (file === null ? undefined : text));
    throw new MillstreamError('invalid', 'BAD_CONFIG', `the subscriber's configuration has errors\n${shown}`);
  };
  if (!document) return fail(diagnostics);
  const { value: read, touched, unresolved, ...interpolated } = interpolate(document, { mode: 'run', env, readFile });
  const origins = new Map<string, string>();
  let value: unknown = read;
  for (const each of environmentOverrides(env)) {
    value = withValue(value, each.path, isWord(each.path) ? each.value.toLowerCase() : each.value);
    touched.add(dotted(each.path));
    origins.set(dotted(each.path), each.name);
  }
  const given = Object.entries(value as Record<string, unknown>);
  const isOwn = ([key]: [string, unknown]): boolean => key in OWN;
  const options = { document, touched, unresolved, explainUnknown: (found: { key: string }) => explain(found.key) };
  // Missing tables are checked as empty ones, so that what is missing in them is named.
  const own = check(ownSchema, { subscription: {}, ...Object.fromEntries(given.filter(isOwn)) }, options);
  const connector = check(connectorSchema, Object.fromEntries(given.filter(each => !isOwn(each))), options);
  const found = [...interpolated.diagnostics, ...own.diagnostics, ...connector.diagnostics];
  // The connector's rule about its two names is asked only once everything else is there.
  const project = given.some(([key]) => key === 'project' || key === 'project_id');
  if (!project && !found.some(each => each.path === 'project')) {
    found.push(diagnosticAt(document, ['project'], 'key', { message: '`project` is missing' }));
  }
  const all = found.map(each => missing(pointAtEnvironment(each, origins.get(each.path ?? '')), file));
  if (hasErrors(all) || !own.data || connector.data === null) return fail(all);
  return { ...own.data, connector: connector.data };
}

/** The connector's words, which the environment may write in any case. */
const isWord = (path: readonly string[]): boolean =>
  ['auth.method', 'schema.mapping', 'write_method'].includes(path.join('.'));

function textOf(file: string, readFile: (path: string) => string): string {
  try {
    return readFile(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MillstreamError('invalid', 'BAD_CONFIG', `the configuration ${file} cannot be read: ${reason}`);
  }
}

function explain(key: string): { message: string; help?: string } | null {
  const near = nearest(key, [...Object.keys(OWN), ...Object.values(ENVIRONMENT).map(([first]) => first ?? '')]);
  return near ? { message: `unknown key \`${key}\``, help: `did you mean \`${near}\`?` } : null;
}

/** Whoever has no file is told the variable. */
function missing(diagnostic: Diagnostic, file: string | null): Diagnostic {
  if (!diagnostic.message.endsWith('is missing')) return diagnostic;
  const key = diagnostic.path === 'project' ? 'project_id' : (diagnostic.path ?? '');
  const variable = variableOf(key);
  if (variable === null) return diagnostic;
  if (file !== null) return { ...diagnostic, help: `or set the environment variable ${variable}` };
  const { endColumn: _, ...rest } = diagnostic;
  return { ...rest, line: 0, column: 0, message: `the variable ${variable} is not set` };
}
