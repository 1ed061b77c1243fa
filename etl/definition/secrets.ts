/**
 * Which values of a step's config are secrets: those that the module's schema marks with `secret = true` (or JSON Schema's
 * `writeOnly`), those whose key says so, and, for a module without a schema, whatever came from a variable or a file.
 * They are handed to the module and shown nowhere: logs, dead letters, errors and status say `***`.
 */

const TELLING_KEY = /secret|passw|passphrase|token|salt|credential|(?:api|access|private)_?key/i;
/** What is shorter stands in too many words to be hidden. */
const LEAST_LENGTH = 4;

interface Schema {
  secret?: unknown;
  writeOnly?: unknown;
  properties?: Record<string, Schema>;
  additionalProperties?: unknown;
  items?: unknown;
}

/** `isInterpolated` is asked with the path below the config. */
export function secretsIn(
  config: unknown,
  schema: object | null,
  isInterpolated: (path: readonly (string | number)[]) => boolean,
): string[] {
  const found = new Set<string>();
  const walk = (value: unknown, at: Schema | null, path: (string | number)[], isSecret: boolean): void => {
    const secret = isSecret || at?.secret === true || at?.writeOnly === true;
    if (typeof value === 'string') {
      if (value.length >= LEAST_LENGTH && (secret || (schema === null && isInterpolated(path)))) found.add(value);
    } else if (Array.isArray(value)) {
      value.forEach((each: unknown, i) => walk(each, schemaOf(at?.items), [...path, i], secret));
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, each] of Object.entries(value)) {
        const below = schemaOf(at?.properties?.[key]) ?? schemaOf(at?.additionalProperties);
        walk(each, below, [...path, key], secret || TELLING_KEY.test(key));
      }
    }
  };
  walk(config, schema, [], false);
  return [...found];
}

const schemaOf = (value: unknown): Schema | null => (typeof value === 'object' && value !== null ? value : null);
