import type { z } from 'zod';
import { formatDuration, formatSize } from '../../core/base/units.ts';
import { ALIASES } from './env.ts';
import { NOT_YET, REPLACED } from './key-status.ts';
import { serverConfigSchema } from './schema.ts';
import { type Address, formatAddress } from './values.ts';

type Format = 'size' | 'duration' | null;

/** What the schema says about one key, for people. */
export interface KeyInfo {
  path: string[];
  type: string;
  /** As it would be written; null: left out. */
  default: string | null;
  /** How numbers of this key are written. */
  format: Format;
  description: string;
}

type Definition = z.core.$ZodTypes['_zod']['def'];
const defOf = (schema: z.core.$ZodType): Definition => (schema as unknown as { def: Definition }).def;

/** Every key of `millstream.toml` in the schema's order, without those that are only taken for RustMQ's sake. */
export function configKeys(): KeyInfo[] {
  const keys: KeyInfo[] = [];
  const walk = (schema: z.core.$ZodType, path: string[]): void => {
    const { inner, initial, description } = peel(schema);
    const def = defOf(inner);
    if (def.type === 'object') {
      for (const [key, child] of Object.entries(def.shape)) walk(child, [...path, key]);
    } else if (def.type === 'record' && path.length === 1) walk(def.valueType, [...path, 'NAME']);
    else if (description !== '') {
      const format = formatOf(inner);
      keys.push({ path, type: typeOf(inner), default: showValue(initial, format), format, description });
    }
  };
  walk(serverConfigSchema, []);
  return keys;
}

/** The schema below defaults and optional marks; the outermost default and description count. */
function peel(schema: z.core.$ZodType): { inner: z.core.$ZodType; initial: unknown; description: string } {
  let initial: unknown;
  let description = '';
  let inner = schema;
  for (;;) {
    const def = defOf(inner);
    description ||= metaOf(inner)['description'] ?? '';
    if (def.type === 'default' || def.type === 'prefault') initial ??= def.defaultValue;
    if (!('innerType' in def)) return { inner, initial, description };
    inner = def.innerType;
  }
}

function metaOf(schema: z.core.$ZodType): { description?: string; format?: string; enum?: string[]; type?: string } {
  return (schema as z.ZodType).meta() ?? {};
}

function formatOf(schema: z.core.$ZodType): Format {
  const { format } = metaOf(schema);
  return format === 'size' || format === 'duration' ? format : null;
}

function typeOf(schema: z.core.$ZodType): string {
  const meta = metaOf(schema);
  const def = defOf(schema);
  if (meta.enum) return meta.enum.map(word => `"${word}"`).join(' \\| ');
  if (meta.format) return meta.format;
  if (def.type === 'array') return 'list';
  if (def.type === 'pipe') return meta.type === undefined ? 'string' : 'host:port';
  return def.type === 'number' ? 'number' : def.type === 'boolean' ? 'true, false' : 'string';
}

/** A value as it would be written in the file; null: left out. */
export function showValue(value: unknown, format: Format): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'number' && value >= 0 && format === 'size') return JSON.stringify(formatSize(value));
  if (typeof value === 'number' && value >= 0 && format === 'duration') return JSON.stringify(formatDuration(value));
  if (typeof value === 'object' && 'port' in value) return JSON.stringify(formatAddress(value as Address));
  return JSON.stringify(value);
}

/** docs/reference/config.md */
export function configReference(): string {
  const lines = [
    '# millstream.toml',
    '',
    'Generated from `server/config/schema.ts` by `npm run gen`. Every key may be left out, and so may the file.',
    '',
    '- Sizes are `"64MiB"`, `"500KB"` or a number of bytes; durations `"250ms"`, `"5s"`, `"1h"` or a number in the unit that the key names.',
    '- Strings take `${VAR}`, `${VAR:-default}` and `${file:/path}`; `$$` is a dollar sign.',
    '- The variable `MILLSTREAM_<SECTION>_<KEY>` overrides a key; lists are written with commas.',
    '- `millstream config check` shows every value and where it comes from.',
  ];
  let section = '';
  for (const key of configKeys()) {
    const here = key.path.slice(0, -1).join('.');
    if (here !== section) {
      lines.push('', `## [${here}]`, '', '| key | type | default | meaning |', '|---|---|---|---|');
      section = here;
    }
    const idle = NOT_YET.some(each => sameKey(each.key, key.path)) ? ' *No effect yet.*' : '';
    const initial = key.default === null ? '' : `\`${key.default}\``;
    lines.push(`| \`${key.path.at(-1)}\` | ${key.type} | ${initial} | ${key.description}${idle} |`);
  }
  lines.push('', '## Short names of variables', '', '| variable | key |', '|---|---|');
  for (const [name, key] of Object.entries(ALIASES)) lines.push(`| \`${name}\` | \`${key}\` |`);
  lines.push(
    '',
    '## Taken and without effect',
    '',
    'A RustMQ `broker.toml` starts the server; these keys do nothing here.',
    '',
  );
  lines.push('| key | instead |', '|---|---|');
  for (const { key, message } of REPLACED)
    lines.push(`| \`${key}\` | ${message.replace('has no effect here: ', '')} |`);
  return `${lines.join('\n')}\n`;
}

function sameKey(pattern: string, path: readonly string[]): boolean {
  const parts = pattern.split('.');
  if (parts.at(-1) === '*' ? path.length < parts.length : path.length !== parts.length) return false;
  return parts.every((part, i) => part === '*' || part === path[i]);
}
