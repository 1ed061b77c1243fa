import { MillstreamError } from '../../../core/base/errors.ts';

/** A query string as it was parsed: a name that comes twice has a list. */
export type Query = Readonly<Record<string, string | string[] | undefined>>;

/** One value or none. Kind `invalid`, code INVALID_QUERY when there are more. */
export function single(query: Query, name: string): string | undefined {
  const value = query[name];
  if (typeof value !== 'object') return value;
  throw new MillstreamError('invalid', 'INVALID_QUERY', `\`${name}\` stands in the query more than once`);
}

export function wholeNumberIn(query: Query, name: string, least: number, most: number): number | undefined {
  const text = single(query, name);
  if (text === undefined) return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new MillstreamError(
    'invalid',
    'INVALID_QUERY',
    `\`${name}\` is a whole number from ${least} to ${most}, not "${text.slice(0, 40)}"`,
  );
}

/** `earliest` (the default), `latest` or an offset that the log holds or will give next. */
export function offsetIn(query: Query, earliest: number, latest: number): number {
  const text = single(query, 'offset') ?? 'earliest';
  if (text === 'earliest') return earliest;
  if (text === 'latest') return latest;
  const offset = wholeNumberIn(query, 'offset', 0, Number.MAX_SAFE_INTEGER) ?? earliest;
  if (offset >= earliest && offset <= latest) return offset;
  throw new MillstreamError('invalid', 'OFFSET_OUT_OF_RANGE', `offset ${offset} is outside [${earliest}, ${latest}]`);
}
