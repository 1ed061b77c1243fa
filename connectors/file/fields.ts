import type { NewRecord } from '../../core/engine/records.ts';

/** What a line's fields say about its record. */
export interface FieldRules {
  /** Field of the record's key: a name, or a path such as customer.id. */
  key: string | undefined;
  timestampField: string | undefined;
}

export function recordOf(line: Uint8Array, now: number, rules: FieldRules): NewRecord {
  if (rules.key === undefined && rules.timestampField === undefined) return { timestamp: now, key: null, value: line };
  const parsed = parse(line);
  const key = rules.key === undefined ? null : keyOf(fieldOf(parsed, rules.key));
  const timestamp = rules.timestampField === undefined ? null : timeOf(fieldOf(parsed, rules.timestampField));
  return { timestamp: timestamp ?? now, key, value: line };
}

function parse(line: Uint8Array): unknown {
  const text = Buffer.from(line.buffer, line.byteOffset, line.length).toString();
  try {
    return JSON.parse(text, /\d{16}/.test(text) ? exactNumbers : undefined);
  } catch {
    return undefined;
  }
}

/** Keeps the digits of numbers that a double would change: they are ids. */
function exactNumbers(this: unknown, _: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === 'number' && !Number.isSafeInteger(value) ? (context?.source ?? value) : value;
}

function fieldOf(value: unknown, path: string): unknown {
  const own = (of: unknown, name: string): unknown =>
    typeof of === 'object' && of !== null && Object.hasOwn(of, name)
      ? (of as Record<string, unknown>)[name]
      : undefined;
  const direct = own(value, path);
  return direct === undefined && path.includes('.') ? path.split('.').reduce<unknown>(own, value) : direct;
}

function keyOf(value: unknown): Uint8Array | null {
  if (value === undefined || value === null) return null;
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
}

const ISO = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/;

/** Milliseconds since the epoch (a number, or digits in a string) or an ISO 8601 time, UTC unless it says otherwise. */
function timeOf(value: unknown): number | null {
  if (typeof value === 'number') return Number.isSafeInteger(Math.round(value)) ? Math.round(value) : null;
  if (typeof value !== 'string') return null;
  if (/^-?\d{1,15}$/.test(value)) return Number(value);
  const match = ISO.exec(value);
  if (!match) return null;
  const zoned = match[1] || !/[T ]/.test(value) ? value : `${value}Z`;
  const time = Date.parse(zoned.replace(' ', 'T'));
  return Number.isNaN(time) ? null : time;
}
