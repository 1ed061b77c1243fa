import { isExactNumber } from './exact-number.ts';
import { expected, Unfit } from './unfit.ts';

/** INT64, FLOAT64, BOOL, NUMERIC and BIGNUMERIC from what JSON or Avro give, without loss or not at all. */

const LEAST_INT64 = -(2n ** 63n);
const MOST_INT64 = 2n ** 63n - 1n;

/** A safe number where it is one, else a bigint. */
export function toInt64(value: unknown): number | bigint {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  const whole = wholeOf(value);
  if (whole === null) throw expected('INT64', value);
  if (whole < LEAST_INT64 || whole > MOST_INT64) throw new Unfit(`${whole} is out of the range of INT64`);
  return whole;
}

function wholeOf(value: unknown): bigint | null {
  if (typeof value === 'bigint') return value;
  // Whole numbers that JSON writes with an exponent or a point are whole as well.
  const text = typeof value === 'string' ? value.trim() : isExactNumber(value) ? value.rawJSON : null;
  if (text === null) return typeof value === 'number' && Number.isInteger(value) ? BigInt(value) : null;
  if (/^[+-]?\d{1,40}$/.test(text)) return BigInt(text.startsWith('+') ? text.slice(1) : text);
  const decimal = DECIMAL.test(text) ? plainDecimal(text) : null;
  return decimal !== null && !decimal.includes('.') && decimal.length <= 40 ? BigInt(decimal) : null;
}

const SPECIAL: Record<string, number> = {
  nan: Number.NaN,
  inf: Number.POSITIVE_INFINITY,
  '+inf': Number.POSITIVE_INFINITY,
  '-inf': Number.NEGATIVE_INFINITY,
  infinity: Number.POSITIVE_INFINITY,
  '+infinity': Number.POSITIVE_INFINITY,
  '-infinity': Number.NEGATIVE_INFINITY,
};

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?$/;

export function toFloat64(value: unknown): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (isExactNumber(value)) return finite(Number(value.rawJSON), value);
  if (typeof value === 'string') {
    const text = value.trim();
    if (DECIMAL.test(text)) return finite(Number(text), value);
    const special = SPECIAL[text.toLowerCase()];
    if (special !== undefined) return special;
  }
  throw expected('FLOAT64', value);
}

function finite(number: number, value: unknown): number {
  if (!Number.isFinite(number)) throw expected('FLOAT64', value);
  return number;
}

export function toBool(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  if (typeof value === 'string') {
    const text = value.toLowerCase();
    if (text === 'true') return true;
    if (text === 'false') return false;
  }
  throw expected('BOOL', value);
}

export interface DecimalLimits {
  type: 'NUMERIC' | 'BIGNUMERIC';
  precision?: number | undefined;
  scale?: number | undefined;
}

/** Digits before and after the point (docs: data types, decimal types). BIGNUMERIC's 39th digit is partly usable. */
const DIGITS = { NUMERIC: { whole: 29, fraction: 9 }, BIGNUMERIC: { whole: 39, fraction: 38 } };
/** Largest BIGNUMERIC, without its point. */
const MOST_BIGNUMERIC = 2n ** 255n - 1n;

/** Canonical decimal text: no exponent, no leading or trailing zeros. */
export function toDecimal(value: unknown, limits: DecimalLimits): string {
  const text =
    typeof value === 'number'
      ? String(value)
      : typeof value === 'string'
        ? value.trim()
        : typeof value === 'bigint'
          ? String(value)
          : isExactNumber(value)
            ? value.rawJSON
            : '';
  if (!DECIMAL.test(text)) throw expected(limits.type, value);
  const plain = plainDecimal(text);
  const { whole, fraction } = DIGITS[limits.type];
  const digits = plain.startsWith('-') ? plain.slice(1) : plain;
  const point = digits.indexOf('.');
  const wholeDigits = digits === '0' || digits.startsWith('0.') ? 0 : point === -1 ? digits.length : point;
  const fractionDigits = point === -1 ? 0 : digits.length - point - 1;
  // Digits beyond NUMERIC(p, s) are rounded by the table's own rule; those beyond the type itself would be lost.
  if (fractionDigits > fraction) {
    throw new Unfit(`${plain} has ${fractionDigits} digits after the point, ${limits.type} keeps ${fraction}`);
  }
  const most = limits.precision === undefined ? whole : limits.precision - (limits.scale ?? 0);
  if (wholeDigits > most || (wholeDigits === 39 && tooBig(plain))) {
    const name = limits.precision === undefined ? '' : `(${limits.precision}, ${limits.scale ?? 0})`;
    throw new Unfit(`${plain} is out of the range of ${limits.type}${name}`);
  }
  return plain;
}

function tooBig(plain: string): boolean {
  const [whole = '', fraction = ''] = plain.replace('-', '').split('.');
  const units = BigInt(whole + fraction.padEnd(38, '0'));
  return units > MOST_BIGNUMERIC + (plain.startsWith('-') ? 1n : 0n);
}

/** "-1.50e3" -> "-1500"; digits are kept, only their notation changes. */
export function plainDecimal(text: string): string {
  const match = /^([+-]?)(\d*)\.?(\d*)(?:[eE]([+-]?\d+))?$/.exec(text);
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match ?? [];
  const digits = whole + fraction;
  let point = whole.length + Number(exponent);
  let padded = digits;
  if (point < 0) {
    padded = '0'.repeat(-point) + digits;
    point = 0;
  } else if (point > digits.length) padded = digits.padEnd(point, '0');
  const before = padded.slice(0, point).replace(/^0+/, '') || '0';
  const after = padded.slice(point).replace(/0+$/, '');
  const plain = after === '' ? before : `${before}.${after}`;
  return sign === '-' && plain !== '0' ? `-${plain}` : plain;
}
