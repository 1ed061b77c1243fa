/** DATE, TIME, DATETIME and TIMESTAMP: literals, ranges and the packed form of Java's CivilTimeEncoder. */

export const MIN_DATE = -719_162;
export const MAX_DATE = 2_932_896;
const DAY_MICROS = 86_400_000_000n;
export const MIN_TIMESTAMP = BigInt(MIN_DATE) * DAY_MICROS;
export const MAX_TIMESTAMP = BigInt(MAX_DATE + 1) * DAY_MICROS - 1n;

/** Days since 1970-01-01, or null when there is no such day or it lies outside 0001-01-01 to 9999-12-31. */
export function toDays(year: number, month: number, day: number): number | null {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCFullYear() !== year || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return null;
  const days = Math.round(date.getTime() / 86_400_000);
  return days < MIN_DATE || days > MAX_DATE ? null : days;
}

function toMicros(hour: number, minute: number, second: number, micros: number): bigint | null {
  if (hour > 23 || minute > 59 || second > 59 || micros > 999_999) return null;
  return BigInt(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros);
}

const DATE = String.raw`(\d{4})-(\d{1,2})-(\d{1,2})`;
const TIME = String.raw`(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,6}))?)?`;
const ZONE = String.raw`\s*(Z|UTC|[+-]\d{1,2}(?::?\d{2})?)?`;
const DATE_LITERAL = new RegExp(`^${DATE}$`);
const TIME_LITERAL = new RegExp(`^${TIME}$`);
const DATETIME_LITERAL = new RegExp(`^${DATE}(?:[Tt ]${TIME})?$`);
const TIMESTAMP_LITERAL = new RegExp(`^${DATE}(?:[Tt ]${TIME})?${ZONE}$`, 'i');

const fraction = (digits: string | undefined): number => Number((digits ?? '').padEnd(6, '0'));
const timeOf = (parts: readonly (string | undefined)[]): bigint | null =>
  toMicros(Number(parts[0] ?? 0), Number(parts[1] ?? 0), Number(parts[2] ?? 0), fraction(parts[3]));

export function parseDate(text: string): number | null {
  const match = DATE_LITERAL.exec(text);
  return match && toDays(Number(match[1]), Number(match[2]), Number(match[3]));
}

export function parseTime(text: string): bigint | null {
  const match = TIME_LITERAL.exec(text);
  return match && timeOf(match.slice(1));
}

function join(match: RegExpExecArray): bigint | null {
  const days = toDays(Number(match[1]), Number(match[2]), Number(match[3]));
  const time = timeOf(match.slice(4, 8));
  return days === null || time === null ? null : BigInt(days) * DAY_MICROS + time;
}

export function parseDatetime(text: string): bigint | null {
  const match = DATETIME_LITERAL.exec(text);
  return match && join(match);
}

/** Without a zone it is UTC. */
export function parseTimestamp(text: string): bigint | null {
  const match = TIMESTAMP_LITERAL.exec(text.trim());
  const local = match && join(match);
  if (!match || local === null) return null;
  const zone = match[8];
  const offset = zone && /^([+-])(\d{1,2}):?(\d{2})?$/.exec(zone);
  if (!offset) return local;
  const minutes = Number(offset[2]) * 60 + Number(offset[3] ?? 0);
  const micros = BigInt(minutes) * 60_000_000n;
  return inRange(offset[1] === '-' ? local + micros : local - micros);
}

export const inRange = (micros: bigint): bigint | null =>
  micros < MIN_TIMESTAMP || micros > MAX_TIMESTAMP ? null : micros;

/** 5 bits hour, 6 minute, 6 second, 20 microseconds. */
export function unpackTime(packed: bigint): bigint | null {
  if (packed < 0n || packed >> 37n !== 0n) return null;
  const bits = (shift: bigint, width: bigint): number => Number((packed >> shift) & ((1n << width) - 1n));
  return toMicros(bits(32n, 5n), bits(26n, 6n), bits(20n, 6n), bits(0n, 20n));
}

/** 14 bits year, 4 month, 5 day, then as a time. */
export function unpackDatetime(packed: bigint): bigint | null {
  if (packed < 0n || packed >> 60n !== 0n) return null;
  const days = toDays(Number(packed >> 46n), Number((packed >> 42n) & 15n), Number((packed >> 37n) & 31n));
  const time = unpackTime(packed & ((1n << 37n) - 1n));
  return days === null || time === null ? null : BigInt(days) * DAY_MICROS + time;
}
