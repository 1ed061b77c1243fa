import { isFields } from '../encode/names.ts';

/** Dotted paths into a value: "user.address.city", places in arrays as numbers: "items.0.price". */

export type Getter = (value: unknown) => unknown;

/** A name with a dot in it is found before the path that it could be. */
export function getterOf(path: string): Getter {
  const parts = path.split('.');
  if (parts.length === 1) return value => own(value, path);
  return value => {
    const direct = own(value, path);
    return direct === undefined ? parts.reduce(own, value) : direct;
  };
}

function own(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return /^\d+$/.test(name) ? value[Number(name)] : undefined;
  return isFields(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** Puts a value at a dotted path of columns, making the structs between. */
export function put(row: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let at = row;
  for (const part of path.slice(0, -1)) {
    const inner = at[part];
    if (isFields(inner)) at = inner;
    else at = at[part] = {};
  }
  at[path.at(-1) as string] = value;
}
