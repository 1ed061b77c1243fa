import { renderDiagnostics } from '../../core/config/diagnostic.ts';
import { dotted, valueIn } from '../../core/config/toml.ts';
import type { LoadedConfig, Origin } from './load-config.ts';
import { configKeys, showValue } from './reference.ts';

/** What `millstream config check` shows. */
export interface ConfigReport {
  /** null: no file was read. */
  file: string | null;
  values: { key: string; value: string | null; origin: Origin }[];
}

const SECRET = /(^|_)(secret|password|secret_key|access_key|token)$/;

/** Every key with its value in force and where that comes from; secrets are masked. Empty when there are errors. */
export function reportOf(loaded: LoadedConfig, file: string | null): ConfigReport {
  const { config, origins } = loaded;
  if (!config) return { file, values: [] };
  const topics = Object.keys(config.topics);
  const keys = configKeys().flatMap(key =>
    key.path[0] === 'topics' ? topics.map(name => ({ ...key, path: ['topics', name, key.path[2] as string] })) : [key],
  );
  const values = keys.flatMap(({ path, format }) => {
    const key = dotted(path);
    const value = valueIn(config, path);
    if (value === undefined) return [];
    const masked = value !== null && SECRET.test(path.at(-1) ?? '');
    if (path.at(-1) === 'etl_modules')
      return [{ key, value: namesOf(value), origin: origins.get(key) ?? { from: 'default' } }];
    return [
      { key, value: masked ? '"***"' : showValue(value, format), origin: origins.get(key) ?? { from: 'default' } },
    ];
  });
  return { file, values: values.toSorted((a, b) => sectionOrder(keys, a.key) - sectionOrder(keys, b.key)) };
}

/** Their configs may hold secrets. */
function namesOf(modules: unknown): string {
  return JSON.stringify((modules as { module: string }[]).map(({ module }) => module));
}

/** Topics come one after the other, not key by key. */
function sectionOrder(keys: readonly { path: string[] }[], key: string): number {
  const section = key.slice(0, key.lastIndexOf('.'));
  return keys.findIndex(each => dotted(each.path.slice(0, -1)) === section);
}

/** For a terminal: what is set, then how much is as it comes; `all` shows the defaults too. */
export function renderReport(loaded: LoadedConfig, file: string | null, all = false): string {
  const { values } = reportOf(loaded, file);
  const findings = renderDiagnostics(loaded.diagnostics, name => (name === file ? loaded.text : undefined));
  const shown = values.filter(each => all || each.origin.from !== 'default');
  const width = Math.min(40, Math.max(0, ...shown.map(each => each.key.length + (each.value ?? '').length + 3)));
  const lines = shown.map(
    ({ key, value, origin }) => `${`${key} = ${value ?? '(none)'}`.padEnd(width)}  # ${whereFrom(origin)}`,
  );
  const rest = values.length - shown.length;
  if (values.length > 0 && rest > 0) lines.push(`${rest} more keys have their defaults`);
  return [findings, ...lines].filter(each => each !== '').join('\n');
}

function whereFrom(origin: Origin): string {
  if (origin.from === 'file') return `${origin.file}:${origin.line}`;
  return origin.from === 'environment' ? origin.name : 'default';
}
