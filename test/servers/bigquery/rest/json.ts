/** JSON bodies, with integers beyond 2^53 kept: the service reads numbers exactly, JSON.parse would round them. */
import { ApiError } from '../model/api-error.ts';

/** Sixteen or more digits in a row, outside of a decimal fraction: only then the slower way is needed. */
const LONG_NUMBER = /[:,[\s-]\d{16,}/;

/** @throws ApiError `badRequest`; integers that a double cannot hold become bigint */
export function parseJson(text: string): Record<string, unknown> {
  if (text === '') return {};
  let value: unknown;
  try {
    value = LONG_NUMBER.test(text)
      ? JSON.parse(text, exact as (key: string, value: unknown) => unknown)
      : JSON.parse(text);
  } catch {
    throw new ApiError('badRequest', 'Invalid JSON payload received.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ApiError('badRequest', 'Invalid JSON payload received. Expected an object.');
  }
  return value as Record<string, unknown>;
}

function exact(_: string, value: unknown, context: { source?: string }): unknown {
  const integer = typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context.source ?? '');
  return integer ? BigInt(context.source ?? '') : value;
}
