/*
 * Two ways to name a place in a JSON value: a pointer (RFC 6901, "/total/eur") where the file says so, and a dotted
 * path ("total.eur") as modules and test cases use it. Both look at own properties only.
 */

/** undefined when there is nothing at that place. */
export type Lookup = (value: unknown) => unknown;

export function compilePointer(pointer: string): Lookup {
  const parts = pointer
    .split('/')
    .slice(1)
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  return value => descend(value, parts);
}

/** "customer.email", "items.0.price"; one that begins with a slash is a pointer. */
export function compilePath(path: string): Lookup {
  if (path.startsWith('/')) return compilePointer(path);
  const parts = path.split('.');
  return value => descend(value, parts);
}

function descend(value: unknown, parts: readonly string[]): unknown {
  let at = value;
  for (const part of parts) {
    if (typeof at !== 'object' || at === null) return undefined;
    if (Array.isArray(at) && !/^(0|[1-9]\d*)$/.test(part)) return undefined;
    if (!Object.hasOwn(at, part)) return undefined;
    at = (at as Record<string, unknown>)[part];
  }
  return at;
}

export function deepEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every(
      key =>
        Object.hasOwn(b, key) && deepEqual((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]),
    )
  );
}

/** Does `actual` hold all that `expected` has? Tables may have more keys; lists must have the same length. */
export function contains(actual: unknown, expected: unknown): boolean {
  if (typeof expected !== 'object' || expected === null) return deepEqual(actual, expected);
  if (typeof actual !== 'object' || actual === null || Array.isArray(actual) !== Array.isArray(expected)) return false;
  if (Array.isArray(expected)) {
    const list = actual as unknown[];
    return list.length === expected.length && expected.every((each, i) => contains(list[i], each));
  }
  return Object.entries(expected).every(
    ([key, value]) => Object.hasOwn(actual, key) && contains((actual as Record<string, unknown>)[key], value),
  );
}
