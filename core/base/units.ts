import { z } from 'zod';

/*
 * Sizes and durations in configuration files: a string with its unit ("64MiB", "250ms"), or a bare number in the unit
 * that the key's name says. Everything comes out in bytes and milliseconds.
 */

const SIZE_UNITS: Record<string, number> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  // Kubernetes' spelling.
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

const DURATION_UNITS: Record<string, number> = { ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 86400e3 };

const QUANTITY = /^(\d+(?:\.\d+)?)([a-z]*)$/i;

function parse(text: string, units: Record<string, number>, bareUnit: number): number | null {
  const match = QUANTITY.exec(text.trim());
  if (!match) return null;
  const factor = match[2] ? units[match[2].toLowerCase()] : bareUnit;
  if (factor === undefined) return null;
  const value = Number(match[1]) * factor;
  return Number.isSafeInteger(Math.round(value)) ? Math.round(value) : null;
}

/** "64MiB", "1.5 GB" written together, "500" -> bytes; null when it is none. */
export function parseSize(text: string): number | null {
  return parse(text, SIZE_UNITS, 1);
}

/** "250ms", "5s", "1h" -> milliseconds; a bare number counts `bareUnitMs` each. null when it is none. */
export function parseDuration(text: string, bareUnitMs = 1): number | null {
  return parse(text, DURATION_UNITS, bareUnitMs);
}

/** 67108864 -> "64MiB": the largest unit that divides it. */
export function formatSize(bytes: number): string {
  for (const [unit, factor] of [
    ['TiB', 2 ** 40],
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}

/** 5000 -> "5s": the largest unit that divides it. */
export function formatDuration(milliseconds: number): string {
  for (const [unit, factor] of [
    ['d', 86400e3],
    ['h', 3600e3],
    ['m', 60e3],
    ['s', 1e3],
  ] as const) {
    if (milliseconds >= factor && milliseconds % factor === 0) return `${milliseconds / factor}${unit}`;
  }
  return `${milliseconds}ms`;
}

export interface QuantityOptions {
  min?: number;
  max?: number;
  /** Also takes -1, which means without bound. */
  unbounded?: boolean;
}

/** zod schema of a size; its output is bytes. `min` and `max` are bytes. */
export function size(options: QuantityOptions = {}): z.ZodType<number> {
  return quantity(
    'size',
    'a size such as "64MiB" or "500KB"',
    '^\\d+(\\.\\d+)?([kKmMgGtT]?[bB]|[kKmMgGtT][iI][bB]?)?$',
    options,
    formatSize,
    text => parseSize(text),
  );
}

/** zod schema of a duration; its output is milliseconds, as are `min` and `max`. `bareUnitMs`: what a bare number
 * counts (1000 for a key named ..._seconds). */
export function duration(options: QuantityOptions & { bareUnitMs?: number } = {}): z.ZodType<number> {
  return quantity(
    'duration',
    'a duration such as "250ms", "5s" or "1h"',
    '^\\d+(\\.\\d+)?(ms|s|m|h|d)?$',
    options,
    formatDuration,
    text => parseDuration(text, options.bareUnitMs),
  );
}

function quantity(
  kind: string,
  what: string,
  pattern: string,
  { min = 0, max = Number.MAX_SAFE_INTEGER, unbounded = false }: QuantityOptions,
  format: (value: number) => string,
  read: (text: string) => number | null,
): z.ZodType<number> {
  return z
    .unknown()
    .transform((given, context) => {
      if (unbounded && (given === -1 || given === '-1')) return -1;
      const text = typeof given === 'string' ? given : typeof given === 'number' ? String(given) : '';
      const value = read(text);
      const problem =
        value === null
          ? `expected ${what}`
          : value < min
            ? `must be at least ${format(min)}`
            : value > max
              ? `must be at most ${format(max)}`
              : null;
      if (value !== null && problem === null) return value;
      context.addIssue({ code: 'custom', message: problem ?? `expected ${what}` });
      return z.NEVER;
    })
    .meta({ type: ['string', 'number'], format: kind, pattern: unbounded ? `^-1$|${pattern}` : pattern });
}
