/** A column's DEFAULT: literals and the functions that people use; anything else is refused when the table is made. */
import { randomUUID } from 'node:crypto';
import { ApiError } from './api-error.ts';
import type { Column, Value } from './schema.ts';
import { fromText } from './text-values.ts';

const FUNCTION = /^(CURRENT_TIMESTAMP|CURRENT_DATE|CURRENT_DATETIME|CURRENT_TIME|GENERATE_UUID)(\(\))?$/i;

/** @throws ApiError `invalid` for an expression that the fake cannot work out or that does not fit the column */
export function checkDefault(column: Column): void {
  if (column.defaultValue === null) return;
  if (evaluate(column, column.defaultValue.trim(), 0) === undefined) {
    throw new ApiError(
      'invalid',
      `Invalid default value expression for column "${column.name}" (or one that this fake does not know): ${column.defaultValue}`,
    );
  }
}

export function defaultOf(column: Column, now: number): Value {
  return evaluate(column, (column.defaultValue ?? 'NULL').trim(), now) as Value;
}

function evaluate(column: Column, text: string, now: number): Value | undefined {
  if (/^NULL$/i.test(text)) return null;
  const call = FUNCTION.exec(text)?.[1]?.toUpperCase();
  if (call !== undefined) return callFunction(call, column, now);
  if (/^(TRUE|FALSE)$/i.test(text)) return column.type === 'BOOL' ? /^TRUE$/i.test(text) : undefined;
  if (/^[+-]?\d+$/.test(text) && column.type === 'INT64') return BigInt(text);
  if (/^[+-]?[\d.]+(e[+-]?\d+)?$/i.test(text)) {
    return column.type === 'DOUBLE' ? Number(text) : (fromText(column, text) ?? undefined);
  }
  const quoted = /^(?:[A-Z]+\s+)?(['"])(.*)\1$/i.exec(text)?.[2];
  if (quoted === undefined) return undefined;
  return column.type === 'STRING' ? quoted : (fromText(column, quoted) ?? undefined);
}

function callFunction(name: string, column: Column, now: number): Value | undefined {
  const micros = BigInt(now) * 1000n;
  const day = 86_400_000_000n;
  switch (`${name} ${column.type}`) {
    case 'CURRENT_TIMESTAMP TIMESTAMP':
    case 'CURRENT_DATETIME DATETIME':
      return micros;
    case 'CURRENT_DATE DATE':
      return Number(micros / day);
    case 'CURRENT_TIME TIME':
      return micros % day;
    case 'GENERATE_UUID STRING':
      return randomUUID();
    default:
      return undefined;
  }
}
