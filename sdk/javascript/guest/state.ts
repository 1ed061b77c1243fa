import * as host from 'millstream:transform/state@1.0.0';
import { partOf, textOf } from './body.ts';
import { Failed } from './record.ts';

/*
 * What a step keeps for a partition: keys of 1 to 1,024 bytes, values of up to 256 KiB, all of it up to the step's
 * `limits.state`. It is committed together with the outputs; what a record has written is taken back when the record
 * fails. Keys are text or bytes. The same names as in AssemblyScript.
 */

type Key = string | Uint8Array;

const SCAN_ENTRIES = 256;
const encoder = new TextEncoder();
export const bytesOf = (key: Key): Uint8Array => (typeof key === 'string' ? encoder.encode(key) : key);

const REFUSED = {
  'key-length': ['STATE_KEY_TOO_LONG', (key: number) => `a key of state has 1 to 1024 bytes, this one ${key}`],
  'value-length': [
    'STATE_VALUE_TOO_LONG',
    (_: number, value: number) => `a value of state has at most 262144 bytes, this one ${value}`,
  ],
  full: ['STATE_FULL', () => 'the step keeps as much for this partition as its limits.state allows'],
} as const;

/** Runs what the host may refuse; a refusal fails the record. */
export function unlessRefused(keyBytes: number, valueBytes: number, call: () => void): void {
  try {
    call();
  } catch (error) {
    const refusal = REFUSED[(error as { payload?: keyof typeof REFUSED }).payload as keyof typeof REFUSED];
    if (!refusal) throw error;
    throw new Failed(refusal[0], refusal[1](keyBytes, valueBytes));
  }
}

/** The value as bytes; null: there is none. */
export const get = (key: Key): Uint8Array | null => host.get(bytesOf(key)) ?? null;

/** The value as text; null: there is none. */
export function text(key: Key): string | null {
  const value = get(key);
  return value === null ? null : textOf(value);
}

/** The value as JSON; null: there is none. */
export function json(key: Key): ReturnType<typeof JSON.parse> {
  const value = text(key);
  return value === null ? null : JSON.parse(value);
}

/** Keeps text, bytes, or anything else as JSON. When the host refuses (a limit) the record fails with the reason. */
export function put(key: Key, value: unknown): void {
  const part = partOf(value) ?? 'null';
  const [name, bytes] = [bytesOf(key), typeof part === 'string' ? encoder.encode(part) : part];
  unlessRefused(name.length, bytes.length, () => host.put(name, bytes));
}

/** false: there was none. */
export const remove = (key: Key): boolean => host.delete(bytesOf(key));

/** A whole number, kept as eight bytes, little endian; `orElse` when there is none. */
export function getNumber(key: Key, orElse = 0): number {
  const value = get(key);
  if (value?.length !== 8) return orElse;
  return Number(new DataView(value.buffer, value.byteOffset, 8).getBigInt64(0, true));
}

export function putNumber(key: Key, value: number): void {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, BigInt(Math.trunc(value)), true);
  put(key, bytes);
}

/** Counts: adds to the number and returns what it is now. */
export function add(key: Key, by = 1): number {
  const value = getNumber(key) + by;
  putNumber(key, value);
  return value;
}

/** Entries whose keys begin with a prefix, in byte order of their keys. Those that are written meanwhile may be seen or
 * not. */
export function* scan(prefix: Key): Generator<{ key: string; value: Uint8Array }, void, void> {
  const begin = bytesOf(prefix);
  for (let after: Uint8Array | undefined; ; ) {
    const entries: [Uint8Array, Uint8Array][] = host.scan(begin, after, SCAN_ENTRIES);
    for (const [key, value] of entries) yield { key: textOf(key), value };
    after = entries.at(-1)?.[0];
    if (after === undefined) return;
  }
}
