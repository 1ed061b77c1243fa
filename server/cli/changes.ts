import type { SampleRecord } from '../../etl/sandbox/sandbox.ts';

/** One thing that a step did to a record; null: it was not there, or is gone. */
export interface Change {
  /** Dotted path into the JSON value, `value` for one that is no JSON, `key`, or `header NAME`. */
  what: string;
  before: string | null;
  after: string | null;
}

/** What differs between a record before and after a step, in the order of the document. */
export function changesOf(before: SampleRecord, after: SampleRecord): Change[] {
  const from = leavesOf(before);
  const to = leavesOf(after);
  return [...new Set([...from.keys(), ...to.keys()])]
    .map(what => ({ what, before: from.get(what) ?? null, after: to.get(what) ?? null }))
    .filter(change => change.before !== change.after);
}

function leavesOf(record: SampleRecord): Map<string, string> {
  const leaves = new Map<string, string>();
  const walk = (value: unknown, path: string): void => {
    if (typeof value !== 'object' || value === null) leaves.set(path === '' ? 'value' : path, JSON.stringify(value));
    else for (const [name, each] of Object.entries(value)) walk(each, path === '' ? name : `${path}.${name}`);
  };
  if (record.key !== null) leaves.set('key', JSON.stringify(record.key));
  try {
    walk(JSON.parse(record.value ?? 'null'), '');
  } catch {
    leaves.set('value', JSON.stringify(record.value));
  }
  for (const [name, value] of Object.entries(record.headers)) leaves.set(`header ${name}`, JSON.stringify(value));
  return leaves;
}
