import { isExactNumber } from './exact-number.ts';
import { plainDecimal } from './numbers.ts';
import { expected, Unfit } from './unfit.ts';

/**
 * DATE, TIME, DATETIME and TIMESTAMP (docs: data types). Years 1 to 9999 of the Gregorian calendar; what is finer than
 * the column keeps is refused, not cut off.
 */

/** What a bare number means in a TIMESTAMP column. BigQuery itself counts seconds. */
export type EpochUnit = 'seconds' | 'milliseconds' | 'microseconds';

const DAY_MS = 86_400_000;
const LEAST_MICROS = -62_135_596_800_000_000n;
const MOST_MICROS = 253_402_300_799_999_999n;

const DATE = /^(\d{4})-(\d{1,2})-(\d{1,2})$/;
const TIME = /^(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?)?$/;
const DATETIME = /^(\d{4}-\d{1,2}-\d{1,2})(?:[Tt ](\d{1,2}:\d{1,2}(?::\d{1,2}(?:\.\d+)?)?))?$/;
const ZONE = /\s*(?:(Z|UTC|GMT)|([+-])(\d{1,2})(?::?(\d{2}))?)$/i;

/** Days since 1970-01-01. */
export function toDays(value: unknown): number {
  const days = typeof value === 'string' ? daysOf(value.trim()) : null;
  if (days === null) throw expected('DATE (YYYY-MM-DD)', value);
  return days;
}

function daysOf(text: string): number | null {
  const match = DATE.exec(text);
  if (!match) return null;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return null;
  return daysBefore(year, month) + day - 1;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Days from 1970-01-01 to the first of the month. */
function daysBefore(year: number, month: number): number {
  // Date.UTC takes years below 100 for those of the twentieth century: 400 years are 146,097 days.
  return Date.UTC(year + 400, month - 1, 1) / DAY_MS - 146_097;
}

export function dateText(days: number): string {
  const date = new Date(days * DAY_MS);
  return `${pad(date.getUTCFullYear(), 4)}-${pad(date.getUTCMonth() + 1, 2)}-${pad(date.getUTCDate(), 2)}`;
}

const pad = (number: number, width: number): string => String(number).padStart(width, '0');

/** Canonical HH:MM:SS[.ffffff]. */
export function toTime(value: unknown): string {
  const time = typeof value === 'string' ? timeOf(value.trim(), 6) : null;
  if (time === null) throw expected('TIME (HH:MM:SS[.ffffff])', value);
  return clockText(time);
}

interface ClockTime {
  /** Seconds of the day. */
  seconds: number;
  /** Digits after the point, without trailing zeros. */
  fraction: string;
}

function timeOf(text: string, mostDigits: number): ClockTime | null {
  const match = TIME.exec(text);
  if (!match) return null;
  const [hour, minute, second] = [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
  if (hour > 23 || minute > 59 || second > 59) return null;
  const fraction = (match[4] ?? '').replace(/0+$/, '');
  if (fraction.length > mostDigits) throw new Unfit(`${text} is finer than the ${mostDigits} digits that are kept`);
  return { seconds: hour * 3600 + minute * 60 + second, fraction };
}

function clockText({ seconds, fraction }: ClockTime): string {
  const text = `${pad(Math.floor(seconds / 3600), 2)}:${pad(Math.floor(seconds / 60) % 60, 2)}:${pad(seconds % 60, 2)}`;
  return fraction === '' ? text : `${text}.${fraction}`;
}

/** Canonical YYYY-MM-DD HH:MM:SS[.ffffff]; a civil time has no zone. */
export function toDateTime(value: unknown): string {
  const match = typeof value === 'string' ? DATETIME.exec(value.trim()) : null;
  const days = match ? daysOf(match[1] as string) : null;
  const time = match ? timeOf(match[2] ?? '00:00:00', 6) : null;
  if (days === null || time === null) throw expected('DATETIME (YYYY-MM-DD HH:MM:SS[.ffffff])', value);
  return `${dateText(days)} ${clockText(time)}`;
}

/** Microseconds since the epoch; a number where it is a safe one. */
export function toMicros(value: unknown, unit: EpochUnit): number | bigint {
  if (typeof value === 'string') {
    const quick = quickMicros(value);
    if (quick !== null) return quick;
    const { seconds, fraction } = instantOf(value, 6);
    const micros = fraction === '' ? 0 : Number(fraction.padEnd(6, '0'));
    // Up to the year 2255 a double holds it.
    const sum = seconds * 1e6 + micros;
    return Number.isSafeInteger(sum) ? sum : BigInt(seconds) * 1_000_000n + BigInt(micros);
  }
  return epochMicros(value, unit);
}

/** Digits after the point that make microseconds. */
const UNIT_DIGITS: Record<EpochUnit, number> = { seconds: 6, milliseconds: 3, microseconds: 0 };

const UNIT_MICROS: Record<EpochUnit, number> = { seconds: 1e6, milliseconds: 1e3, microseconds: 1 };

function epochMicros(value: unknown, unit: EpochUnit): number | bigint {
  if (typeof value === 'number') {
    const quick = value * UNIT_MICROS[unit];
    if (Number.isSafeInteger(value) && Number.isSafeInteger(quick)) return quick;
  }
  const text =
    typeof value === 'number' && Number.isFinite(value)
      ? String(value)
      : typeof value === 'bigint'
        ? String(value)
        : isExactNumber(value)
          ? value.rawJSON
          : null;
  if (text === null) throw expected('TIMESTAMP', value);
  const [whole = '', fraction = ''] = plainDecimal(text).split('.');
  const digits = UNIT_DIGITS[unit];
  if (fraction.length > digits) throw new Unfit(`${text} ${unit} are finer than microseconds`);
  if (whole.length > 20) throw expected('TIMESTAMP', value);
  const micros = BigInt(whole + fraction.padEnd(digits, '0'));
  if (micros < LEAST_MICROS || micros > MOST_MICROS) {
    throw new Unfit(`${text} is out of the range of TIMESTAMP (numbers count ${unit})`);
  }
  const number = Number(micros);
  return Number.isSafeInteger(number) ? number : micros;
}

/** The common shapes, YYYY-MM-DDTHH:MM:SS[.mmm]Z, digit by digit; null for any other. */
function quickMicros(text: string): number | null {
  const { length } = text;
  if ((length !== 20 && length !== 24) || text.charCodeAt(length - 1) !== 0x5a) return null;
  if (text.charCodeAt(4) !== 0x2d || text.charCodeAt(7) !== 0x2d || text.charCodeAt(10) !== 0x54) return null;
  if (text.charCodeAt(13) !== 0x3a || text.charCodeAt(16) !== 0x3a) return null;
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2);
  const [month, day] = [twoDigits(text, 5), twoDigits(text, 8)];
  const [hour, minute, second] = [twoDigits(text, 11), twoDigits(text, 14), twoDigits(text, 17)];
  let ms = 0;
  if (length === 24) {
    if (text.charCodeAt(19) !== 0x2e) return null;
    ms = twoDigits(text, 20) * 10 + twoDigits(text, 22, 1);
  }
  // NaN, for what is no digit, fails every comparison.
  if (!(year >= 1970 && year <= 2199 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month)))
    return null;
  if (!(hour < 24 && minute < 60 && second < 60 && ms >= 0)) return null;
  // Days by Howard Hinnant's days_from_civil: years begin in March.
  const y = month <= 2 ? year - 1 : year;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const days = y * 365 + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719_468;
  return (days * 86_400 + hour * 3600 + minute * 60 + second) * 1e6 + ms * 1000;
}

/** Two digits (or one) as a number; NaN when one is none. */
function twoDigits(text: string, at: number, count = 2): number {
  const first = text.charCodeAt(at) - 0x30;
  const second = count === 1 ? 0 : text.charCodeAt(at + 1) - 0x30;
  if (first < 0 || first > 9 || second < 0 || second > 9) return Number.NaN;
  return count === 1 ? first : first * 10 + second;
}

/** Text with `digits` digits of a second at most, in UTC: for picosecond columns and for JSON. */
export function toInstantText(value: unknown, unit: EpochUnit, digits: number): string {
  if (typeof value === 'string') {
    const { seconds, fraction } = instantOf(value, digits);
    const days = Math.floor(seconds / 86_400);
    return `${dateText(days)} ${clockText({ seconds: seconds - days * 86_400, fraction })}+00:00`;
  }
  const micros = epochMicros(value, unit);
  // Floored: before 1970 too the fraction counts upwards.
  const seconds =
    typeof micros === 'number'
      ? Math.floor(micros / 1e6)
      : Number((micros - (micros < 0n ? 999_999n : 0n)) / 1_000_000n);
  const rest = typeof micros === 'number' ? micros - seconds * 1e6 : Number(micros - BigInt(seconds) * 1_000_000n);
  const iso = new Date(seconds * 1000).toISOString();
  const fraction = rest === 0 ? '' : `.${pad(rest, 6).replace(/0+$/, '')}`;
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)}${fraction}+00:00`;
}

/** Without a zone a time is one of UTC, as in BigQuery. Names of zones are not taken: their rules change. */
function instantOf(given: string, digits: number): ClockTime {
  const text = given.trim();
  const zone = /\d{1,2}:\d/.test(text) ? ZONE.exec(text) : null;
  const civil = zone ? text.slice(0, zone.index) : text;
  const match = DATETIME.exec(civil);
  const days = match ? daysOf(match[1] as string) : null;
  const time = match ? timeOf(match[2] ?? '00:00:00', digits) : null;
  const offset = offsetOf(zone);
  if (days === null || time === null || offset === null) {
    throw expected('TIMESTAMP (YYYY-MM-DD HH:MM:SS[.ffffff], Z or +HH:MM)', given);
  }
  const seconds = days * 86_400 + time.seconds - offset;
  if (seconds < -62_135_596_800 || seconds > 253_402_300_799) {
    throw new Unfit(`${text} is out of the range of TIMESTAMP`);
  }
  return { seconds, fraction: time.fraction };
}

/** Seconds east of Greenwich. */
function offsetOf(zone: RegExpExecArray | null): number | null {
  if (!zone || zone[1]) return 0;
  const [hours, minutes] = [Number(zone[3]), Number(zone[4] ?? 0)];
  if (hours > 14 || minutes > 59) return null;
  return (zone[2] === '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}
