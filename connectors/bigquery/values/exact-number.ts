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

/** Where a number may be longer than a double holds: 16 digits and more in a row, a point between them or not. A text
 * of nothing but digits is none. */
const LONG_NUMBERS = /(?<![^:,[\s])-?\d[\d.]{15,}(?:[eE][+-]?\d+)?/g;

const WHOLE = /^-?\d+$/;

/** Parses JSON text without changing any number. Throws SyntaxError. */
export function parseExact(text: string): unknown {
  return JSON.parse(text, (text.match(LONG_NUMBERS) ?? []).every(isDouble) ? undefined : keepDigits);
}

/** Asked before, as a reviver makes the parser several times slower. Digits in a string may count as well. */
function isDouble(source: string): boolean {
  const value = Number(source);
  // Of whole numbers it is known without making text of them, which costs more than the rest of the parsing.
  return (Number.isSafeInteger(value) && WHOLE.test(source)) || String(value) === source;
}

function keepDigits(this: unknown, _: string, value: unknown, context?: { source?: string }): unknown {
  const source = context?.source;
  if (typeof value !== 'number' || source === undefined || source.length < 16) return value;
  return isDouble(source) ? value : exactNumber(source);
}
