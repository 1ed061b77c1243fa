import type { Diagnostic } from '../../core/config/diagnostic.ts';
import { nearest } from '../../core/config/did-you-mean.ts';
import { knownKeys, type UnknownKey } from '../../core/config/schema-walk.ts';
import { type Path, type TomlDocument, valueIn } from '../../core/config/toml.ts';
import { type ConnectorSchemas, opaque, pipelineSchema, SINK_SETTINGS, SOURCE_SETTINGS } from './schema.ts';

/*
 * TOML's traps, by name: a key below a table header belongs to that table although it looks as if it stood at the top;
 * [[x]] and [x] differ; singular and plural are mixed up. Each gets a sentence with the fix.
 */

/** What a file may hold: the schema with nothing said about connector tables, and the connectors' names. */
export interface FileShape {
  schema: ReturnType<typeof pipelineSchema>;
  sinks: readonly string[];
  sources: readonly string[];
}

export function fileShape(sinks: ConnectorSchemas, sources: ConnectorSchemas): FileShape {
  return {
    schema: pipelineSchema({ sinks: opaque(sinks), sources: opaque(sources) }),
    sinks: [...sinks.keys()],
    sources: [...sources.keys()],
  };
}

const TOP_LEVEL: Record<string, string> = {
  steps: 'steps are written one by one: `[[step]]`',
  transform: 'steps are written `[[step]]`',
  sink: 'sinks are written `[sinks.NAME]`, with the connector in `[sinks.NAME.TYPE]`',
  sources: 'there is one source: `[source]`',
  output: 'outputs are written in one table: `[outputs]`',
  tests: 'cases are written one by one: `[[test]]`',
  dead_letters: 'write `[dead_letter.TYPE]`',
  deadletter: 'write `[dead_letter.TYPE]`',
};

const SHAPES: Record<string, string> = {
  step: 'write `[[step]]`, with two brackets: there may be several',
  test: 'write `[[test]]`, with two brackets: there may be several',
  sinks: 'write `[sinks.NAME]`: every sink has a name',
  source: 'write `[source]`, with one bracket: there is only one',
  outputs: 'write `[outputs]`, with one bracket',
};

/** The fix for a top-level table of the wrong kind. */
export function shapeHint(diagnostic: Diagnostic): { help: string } | null {
  const help = SHAPES[diagnostic.path ?? ''];
  return help !== undefined && diagnostic.message.includes('expected') ? { help } : null;
}

export function explainUnknownKey(
  unknown: UnknownKey,
  document: TomlDocument,
  shape: FileShape,
): { message: string; help?: string } | null {
  const { path, key } = unknown;
  const trap = path.length === 0 ? TOP_LEVEL[key] : undefined;
  if (trap) return { message: `unknown key \`${key}\``, help: trap };
  return connectorKey(unknown, document, shape) ?? fallenKey(path, key, document, shape) ?? null;
}

function connectorKey(
  { path, key }: UnknownKey,
  document: TomlDocument,
  shape: FileShape,
): { message: string; help: string } | null {
  const isSource = path.length === 1 && path[0] === 'source';
  const isSink = (path.length === 2 && path[0] === 'sinks') || (path.length === 1 && path[0] === 'dead_letter');
  if (!isSource && !isSink) return null;
  const value = valueIn(document.value, [...path, key]);
  if (typeof value !== 'object' || Array.isArray(value)) return null;
  const settings = isSource ? SOURCE_SETTINGS : path.length === 2 ? SINK_SETTINGS : [];
  const slip = nearest(key, settings);
  if (slip) return { message: `unknown key \`${key}\``, help: `did you mean \`${slip}\`?` };
  const known = isSource ? shape.sources : shape.sinks;
  const near = nearest(key, known);
  const list = `there are: ${known.length > 0 ? known.map(each => `\`${each}\``).join(', ') : 'none'}`;
  return {
    message: `there is no ${isSource ? 'source' : 'sink'} connector \`${key}\``,
    help: near ? `did you mean \`${near}\`? (${list})` : list,
  };
}

/** Is the key one of a table further up? Then it stands below the wrong header. */
function fallenKey(
  path: Path,
  key: string,
  document: TomlDocument,
  shape: FileShape,
): { message: string; help: string } | null {
  for (let length = path.length - 1; length >= 0; length--) {
    const above = path.slice(0, length);
    if (!knownKeys(shape.schema, above).includes(key)) continue;
    const home = length === 0 ? 'the top of the file' : `\`${header(above, document)}\``;
    const here = header(path, document);
    return {
      message: `\`${key}\` belongs to ${home}, but it stands under \`${here}\``,
      help: length === 0 ? 'move it above the first table header' : `move it above \`${here}\``,
    };
  }
  return null;
}

/** `[sinks.lake]`, `[[step]]`, `[step.config]`. */
function header(path: Path, document: TomlDocument): string {
  const names = path.filter(part => typeof part === 'string').join('.');
  const isArray = typeof path.at(-1) === 'number' && Array.isArray(valueIn(document.value, path.slice(0, -1)));
  return isArray ? `[[${names}]]` : `[${names}]`;
}
