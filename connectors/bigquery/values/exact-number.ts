/*
 * JSON numbers that a double would change are kept as their own text: ids beyond 2^53, decimals with many digits.
 * JSON.rawJSON is V8's carrier for that ("JSON.parse source text access", ECMAScript proposal, in Node 22 and later):
 * JSON.stringify writes its text back unchanged.
 */

export interface ExactNumber {
  readonly rawJSON: string;
}

interface SourceText {
  rawJSON(text: string): ExactNumber;
  isRawJSON(value: unknown): value is ExactNumber;
}

const json = JSON as unknown as SourceText;

export const isExactNumber = (value: unknown): value is ExactNumber =>
  typeof value === 'object' && value !== null && json.isRawJSON(value);

export const exactNumber = (text: string): ExactNumber => json.rawJSON(text);

/** Where a number may be longer than a double holds: 16 digits and more in a row, a point between them or not. */
const LONG_NUMBER = /\d[\d.]{15}/;

/** Parses JSON text without changing any number. Throws SyntaxError. */
export function parseExact(text: string): unknown {
  return JSON.parse(text, LONG_NUMBER.test(text) ? keepDigits : undefined);
}

function keepDigits(this: unknown, _: string, value: unknown, context?: { source?: string }): unknown {
  const source = context?.source;
  if (typeof value !== 'number' || source === undefined || source.length < 16) return value;
  return String(value) === source ? value : exactNumber(source);
}
