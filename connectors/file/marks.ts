import type { PeerState } from '../runtime/contract.ts';
import { SinkError } from '../runtime/sink-error.ts';
import { MOST_STATE_CHARACTERS } from '../runtime/state-frame.ts';

/*
 * What the file sink commits beside its position: how far its files are committed.
 *
 *   1.<sequence>[.<place>]|<generation>.<length>.<shared>.<rest>|…
 *
 * Numbers are in base 36. The place names the folder, where processes in other folders may take over. An entry a path,
 * the newest first: the number of the highest rotated sibling, the bytes that are committed, how many characters its
 * path has in common with the entry before it, and the rest of the path. Paths are relative to the project and
 * percent-encoded. Every commit of any partition tells of all files that it has room for, and its sequence is one higher
 * than the last: the newest state is the true one, whichever partition has it.
 */
const VERSION = '1';
/** Numbers that grow take this much more at most, until the append that they announce is committed. */
const GROWTH_CHARACTERS = 12;

/** How far a file is committed. */
export interface Mark {
  /** The number of the highest rotated sibling; 0: there is none. */
  readonly generation: number;
  readonly length: number;
}

export interface Marks {
  /** 0: nothing is committed yet. */
  sequence: number;
  /** Which folder's files; left out: there is but one. */
  place?: string | undefined;
  /** By path relative to the project; those touched last come last. */
  files: Map<string, Mark>;
}

/** The newest of several states, and whether it lasts. Throws a SinkError `fatal` when one cannot be read. */
export function newestOf(states: readonly PeerState[]): Marks & { lasts: boolean } {
  let newest: Marks & { lasts: boolean } = { sequence: 0, files: new Map(), lasts: true };
  for (const { state, lasts } of states) {
    const marks = read(state);
    if (marks.sequence > newest.sequence) newest = { ...marks, lasts };
  }
  return newest;
}

function read(state: string): Marks {
  try {
    return decodeMarks(state);
  } catch (cause) {
    throw new SinkError('fatal', 'BAD_SINK_STATE', `the committed state cannot be read: ${String(cause)}`, { cause });
  }
}

/** As many entries as there is room for, the newest first; those that do not fit are removed from `marks`. Returns null,
 * and changes nothing, when the newest `least` do not fit; when they `grow`, with room for that. */
export function encodeMarks(marks: Marks, least: number, grow: boolean): string | null {
  const entries = [...marks.files].toReversed();
  let text = [VERSION, marks.sequence.toString(36), ...(marks.place ? [marks.place] : [])].join('.');
  let before = '';
  let count = 0;
  for (const [path, { generation, length }] of entries) {
    const escaped = encodeURI(path);
    const shared = sharedLength(before, escaped);
    const numbers = [generation, length, shared].map(number => number.toString(36)).join('.');
    const grown = `${text}|${numbers}.${escaped.slice(shared)}`;
    const reserve = grow && count < least ? GROWTH_CHARACTERS * (count + 1) : 0;
    if (grown.length + reserve > MOST_STATE_CHARACTERS) break;
    text = grown;
    before = escaped;
    count++;
  }
  if (count < Math.min(least, entries.length)) return null;
  for (const [path] of entries.slice(count)) marks.files.delete(path);
  return text;
}

export function decodeMarks(state: string): Marks {
  const [head = '', ...entries] = state.split('|');
  const [version, sequence = '', place] = head.split('.');
  if (version !== VERSION) throw new Error(`a state of version ${version} is not known`);
  const files: [string, Mark][] = [];
  let before = '';
  for (const entry of entries) {
    const [, generation, length, shared, rest] = /^([0-9a-z]+)\.([0-9a-z]+)\.([0-9a-z]+)\.(.*)$/.exec(entry) ?? [];
    if (rest === undefined) throw new Error(`"${entry}" is no entry of a state`);
    before = before.slice(0, numberOf(shared)) + rest;
    files.push([decodeURI(before), { generation: numberOf(generation), length: numberOf(length) }]);
  }
  return { sequence: numberOf(sequence), place, files: new Map(files.toReversed()) };
}

function numberOf(text = ''): number {
  const number = Number.parseInt(text, 36);
  if (!Number.isSafeInteger(number)) throw new Error(`"${text}" is no number of a state`);
  return number;
}

function sharedLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}
