/*
 * What is committed beside the position X of a partition whose rows go to a stream with offsets:
 *
 *   s  the stream, without the path before it; "" when it was finalized in order
 *   b  rows that the stream has for records below X
 *   k  rows from X on that earlier streams have already: they are passed over
 *   t  the table's time of creation: a table that was made anew has none of the rows
 *   n  X (that of the last write), so that no two states are equal
 *   r  records from X on that were refused, as gaps and runs: the first offset, then in turn how many in a row are
 *      refused and how many are not, in base 36
 *
 * The rows that BigQuery has for records from X on are k + (rows of s) - b, in the order of the log, without those in r.
 */
export interface StreamState {
  stream: string;
  base: number;
  skip: number;
  table: string;
  next: number;
  refused: readonly number[];
}

interface Stored {
  s: string;
  b: number;
  k?: number;
  t: string;
  n: number;
  r?: string;
}

export function formatState({ stream, base, skip, table, next, refused }: StreamState): string {
  const stored: Stored = { s: stream, b: base, t: table, n: next };
  if (skip > 0) stored.k = skip;
  if (refused.length > 0) stored.r = runsOf(refused);
  return JSON.stringify(stored);
}

export function parseState(text: string): StreamState {
  const { s, b, k = 0, t, n, r = '' } = JSON.parse(text) as Stored;
  return { stream: s, base: b, skip: k, table: t, next: n, refused: offsetsOf(r) };
}

/** Of ascending offsets. */
export function runsOf(offsets: readonly number[]): string {
  const [first] = offsets;
  if (first === undefined) return '';
  const numbers = [first];
  let run = 1;
  for (let i = 1; i <= offsets.length; i++) {
    const gap = (offsets[i] ?? Number.POSITIVE_INFINITY) - (offsets[i - 1] as number) - 1;
    if (gap === 0) {
      run++;
      continue;
    }
    numbers.push(run);
    if (Number.isFinite(gap)) numbers.push(gap);
    run = 1;
  }
  return numbers.map(number => number.toString(36)).join('.');
}

export function offsetsOf(runs: string): number[] {
  if (runs === '') return [];
  const [first = 0, ...rest] = runs.split('.').map(part => Number.parseInt(part, 36));
  const offsets: number[] = [];
  let at = first;
  for (const [i, length] of rest.entries()) {
    if (i % 2 === 0) for (let j = 0; j < length; j++) offsets.push(at + j);
    at += length;
  }
  return offsets;
}
