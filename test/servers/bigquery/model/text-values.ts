/** Values that arrive as text, by REST or in a proto `string` field: one reading for both. null = not readable. */
import { parseDate, parseDatetime, parseTime, parseTimestamp } from './civil.ts';
import { keeps, parseDecimal } from './numeric.ts';
import type { Column, Value } from './schema.ts';

const WKT = /^\s*(POINT|LINESTRING|POLYGON|MULTIPOINT|MULTILINESTRING|MULTIPOLYGON|GEOMETRYCOLLECTION|FULLGLOBE)\b/i;

export function isGeography(text: string): boolean {
  if (WKT.test(text)) return true;
  const value = json(text);
  return typeof value === 'object' && value !== null && 'type' in value;
}

export function json(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Every type whose text form is a literal; STRING and BYTES are read by the callers. */
export function fromText(column: Column, text: string): Value {
  switch (column.type) {
    case 'DATE':
      return parseDate(text);
    case 'TIME':
      return parseTime(text);
    case 'DATETIME':
      return parseDatetime(text);
    case 'TIMESTAMP':
      return parseTimestamp(text);
    case 'NUMERIC':
    case 'BIGNUMERIC': {
      const big = column.type === 'BIGNUMERIC';
      const scaled = parseDecimal(text, big);
      return scaled !== null && keeps(scaled, column.precision, column.scale, big) ? scaled : null;
    }
    case 'JSON':
      return json(text) === undefined ? null : text;
    case 'GEOGRAPHY':
      return isGeography(text) ? text : null;
    case 'STRING':
    case 'BYTES':
    case 'INT64':
    case 'DOUBLE':
    case 'BOOL':
    case 'STRUCT':
      return null;
  }
}
