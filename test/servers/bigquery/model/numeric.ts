/** NUMERIC (38 digits, 9 after the point) and BIGNUMERIC (38 after the point), as scaled bigints. */

export const NUMERIC_SCALE = 9;
export const BIGNUMERIC_SCALE = 38;
const NUMERIC_MAX = 10n ** 38n - 1n;
/** 2^255 - 1 and -2^255, the range of the 32 byte form. */
const BIGNUMERIC_MAX = 2n ** 255n - 1n;
const BIGNUMERIC_MIN = -(2n ** 255n);

export const fits = (scaled: bigint, big: boolean): boolean =>
  big ? scaled <= BIGNUMERIC_MAX && scaled >= BIGNUMERIC_MIN : scaled <= NUMERIC_MAX && scaled >= -NUMERIC_MAX;

/** Decimal text, also with an exponent, to the scaled value; null when it is no number, has too many digits or does not fit. */
export function parseDecimal(text: string, big: boolean): bigint | null {
  const match = /^\s*([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?\s*$/.exec(text);
  if (!match) return null;
  const [, sign, whole = '', fraction = '', exponent = '0'] = match;
  if (whole === '' && fraction === '') return null;
  const scale = big ? BIGNUMERIC_SCALE : NUMERIC_SCALE;
  const shift = scale - fraction.length + Number(exponent);
  let digits = BigInt(whole + fraction);
  if (shift >= 0) digits *= 10n ** BigInt(Math.min(shift, 200));
  else {
    const unit = 10n ** BigInt(-shift);
    // More digits after the point than the type has: BigQuery refuses, it does not round, unless they are zeros.
    if (digits % unit !== 0n) return null;
    digits /= unit;
  }
  const scaled = sign === '-' ? -digits : digits;
  return fits(scaled, big) ? scaled : null;
}

/** A double, rounded half away from zero at the type's scale. */
export function fromDouble(value: number, big: boolean): bigint | null {
  if (!Number.isFinite(value)) return null;
  const scale = big ? BIGNUMERIC_SCALE : NUMERIC_SCALE;
  const text = Math.abs(value) >= 1e21 ? BigInt(value).toString() : value.toFixed(Math.min(scale, 100));
  return parseDecimal(text, big);
}

/** The little-endian two's complement form of Java's BigDecimalByteStringEncoder: at most 16 or 32 bytes. */
export function fromBytes(bytes: Uint8Array, big: boolean): bigint | null {
  if (bytes.length === 0 || bytes.length > (big ? 32 : 16)) return null;
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] ?? 0);
  const scaled = BigInt.asIntN(bytes.length * 8, value);
  return fits(scaled, big) ? scaled : null;
}

export function fromInteger(value: bigint, big: boolean): bigint | null {
  const scaled = value * 10n ** BigInt(big ? BIGNUMERIC_SCALE : NUMERIC_SCALE);
  return fits(scaled, big) ? scaled : null;
}

/** Whether a scaled value keeps a column's own NUMERIC(precision, scale). */
export function keeps(scaled: bigint, precision: number | null, scale: number | null, big: boolean): boolean {
  if (precision === null) return true;
  const full = big ? BIGNUMERIC_SCALE : NUMERIC_SCALE;
  const absolute = scaled < 0n ? -scaled : scaled;
  return absolute < 10n ** BigInt(precision - (scale ?? 0) + full);
}

/** Shortest decimal text, as BigQuery prints it. */
export function formatDecimal(scaled: bigint, big: boolean): string {
  const scale = big ? BIGNUMERIC_SCALE : NUMERIC_SCALE;
  const digits = (scaled < 0n ? -scaled : scaled).toString().padStart(scale + 1, '0');
  const fraction = digits.slice(-scale).replace(/0+$/, '');
  return `${scaled < 0n ? '-' : ''}${digits.slice(0, -scale)}${fraction ? `.${fraction}` : ''}`;
}
