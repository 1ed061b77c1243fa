import type { z } from 'zod';
import type { Path } from './toml.ts';

/*
 * Reads a zod schema's structure: which keys a table may have. Unknown keys are found here rather than by zod, so that
 * a connector whose schema is not strict cannot swallow a misspelt key, and so that the neighbours are known.
 */

export interface UnknownKey {
  /** The table. */
  path: Path;
  key: string;
  /** The keys that this table knows. */
  known: string[];
}

type Schema = z.core.$ZodType;

/** Strips what does not change the shape; unions become several. */
function variants(schema: Schema): Schema[] {
  const def = defOf(schema);
  if ('innerType' in def) return variants(def.innerType);
  if (def.type === 'lazy') return variants(def.getter());
  if (def.type === 'pipe') return variants(defOf(def.in).type === 'transform' ? def.out : def.in);
  if (def.type === 'union') return def.options.flatMap(variants);
  if (def.type === 'intersection') return [...variants(def.left), ...variants(def.right)];
  return [schema];
}

type Definition = z.core.$ZodTypes['_zod']['def'];

function defOf(schema: Schema): Definition {
  return (schema as unknown as { def: Definition }).def;
}

/** The schemas of one key (or array element) of a value with one of these schemas. */
function childrenOf(schemas: readonly Schema[], part: string | number): Schema[] {
  return schemas.flatMap(variants).flatMap(schema => {
    const def = defOf(schema);
    if (def.type === 'object' && typeof part === 'string') {
      const child = Object.hasOwn(def.shape, part) ? def.shape[part] : def.catchall;
      return child ? [child] : [];
    }
    if (def.type === 'record' && typeof part === 'string') return [def.valueType];
    if (def.type === 'array' && typeof part === 'number') return [def.element];
    return [];
  });
}

/** The keys that the table at `path` may have. */
export function knownKeys(schema: Schema, path: Path): string[] {
  let at: Schema[] = [schema];
  for (const part of path) at = childrenOf(at, part);
  const keys = at.flatMap(variants).flatMap(each => {
    const def = defOf(each);
    return def.type === 'object' ? Object.keys(def.shape) : [];
  });
  return [...new Set(keys)];
}

/** Every key in `value` that the schema does not know. */
export function unknownKeys(schema: Schema, value: unknown): UnknownKey[] {
  const found: UnknownKey[] = [];
  const walk = (schemas: readonly Schema[], at: unknown, path: Path): void => {
    if (typeof at !== 'object' || at === null) return;
    if (Array.isArray(at)) {
      at.forEach((element, i) => walk(childrenOf(schemas, i), element, [...path, i]));
      return;
    }
    const kinds = schemas.flatMap(variants);
    const known = new Set<string>();
    // Anything that is not an object schema takes any key; without an object schema it is a type error, not ours.
    let open = false;
    for (const kind of kinds) {
      const def = defOf(kind);
      if (def.type === 'object') {
        for (const key of Object.keys(def.shape)) known.add(key);
        if (def.catchall && defOf(def.catchall).type !== 'never') open = true;
      } else if (['record', 'unknown', 'any', 'custom', 'map'].includes(def.type)) open = true;
    }
    for (const [key, child] of Object.entries(at)) {
      if (!open && known.size > 0 && !known.has(key)) found.push({ path, key, known: [...known] });
      else walk(childrenOf(kinds, key), child, [...path, key]);
    }
  };
  walk([schema], value, []);
  return found;
}
