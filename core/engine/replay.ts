import { DEAD_LETTER_PREFIX, type DeadLetter, fromDeadRecord } from './dead-letter.ts';
import { bodySize, type Header, type LogRecord, type NewRecord, readBody, writeBody } from './records.ts';

/*
 * A dead letter on its way back. It lies in `<pipeline>.replay` (into the step that refused it) or
 * `<pipeline>.<sink>.replay` (into that sink alone), one partition each, made when they are first needed. The record is
 * the dead letter as it was, with these headers changed or added:
 *
 *   millstream.dl.replays    one more than the letter had
 *   millstream.dl.replay_of  partition-offset of the letter in the dead-letter topic
 *   millstream.dl.timestamp  milliseconds since the epoch of the source record
 *
 * The record's own timestamp is when the replay was asked for, so that retention counts from there. Before steps and
 * sinks see it, all of this is taken off again. Nothing that is needed for a second dead letter is lost on the way.
 */

export const stepReplayTopic = (pipeline: string): string => `${pipeline}.replay`;
export const sinkReplayTopic = (pipeline: string, sink: string): string => `${pipeline}.${sink}.replay`;

/** A record without its offset, headers not optional. */
export type BareRecord = Pick<LogRecord, 'key' | 'value' | 'headers' | 'timestamp'>;

export interface Replay {
  /** As it died, except `replays` and `replayOf`: those of its next death. */
  letter: DeadLetter;
  source: BareRecord;
  /** What the step or sink that refused it was given: the source record, or what the steps before had made of it. */
  given: BareRecord;
}

/** What is appended to a replay topic for a record of the dead-letter topic. */
export function toReplayRecord(letter: LogRecord, replays: number, replayOf: string, now: number): NewRecord {
  const set = new Map([
    ['replays', String(replays)],
    ['replay_of', replayOf],
    ['timestamp', String(letter.timestamp)],
  ]);
  const names = new Set([...set.keys()].map(name => DEAD_LETTER_PREFIX + name));
  const headers: Header[] = letter.headers.filter(([key]) => !names.has(key));
  for (const [name, value] of set) headers.push([DEAD_LETTER_PREFIX + name, Buffer.from(value)]);
  return { timestamp: now, key: letter.key, value: letter.value, headers };
}

/** Takes apart a record of a dead-letter or a replay topic; null when it is no (undamaged) dead letter. */
export function fromReplayRecord(record: BareRecord): Replay | null {
  const letter = fromDeadRecord(record);
  if (!letter || !isPlace(letter.partition) || !isPlace(letter.offset)) return null;
  const said = record.headers.findLast(([key]) => key === `${DEAD_LETTER_PREFIX}timestamp`)?.[1];
  const source: BareRecord = {
    key: record.key,
    value: record.value,
    headers: record.headers.filter(([key]) => !key.startsWith(DEAD_LETTER_PREFIX)),
    timestamp: said ? Number(Buffer.from(said).toString()) : record.timestamp,
  };
  if (!letter.input) return { letter, source, given: source };
  try {
    const given = readBody(letter.input, 0, letter.input.length);
    return { letter, source, given: { ...given, timestamp: letter.inputTimestamp ?? source.timestamp } };
  } catch {
    return null;
  }
}

/** The dead letter of a replay that was refused once more: where it came from stays, why is new. */
export function nextLetter(
  { letter, source, given }: Replay,
  death: Pick<
    DeadLetter,
    'stage' | 'name' | 'sha256' | 'code' | 'reason' | 'at' | 'index' | 'input' | 'inputTimestamp'
  >,
): DeadLetter {
  const { stage, name, sha256, code, reason, at } = death;
  const input = death.input ?? bodyOf(given);
  const timestamp = death.inputTimestamp ?? given.timestamp;
  return {
    ...letter,
    stage,
    name,
    sha256,
    code,
    reason,
    at,
    index: name === letter.name ? letter.index : death.index,
    input: Buffer.compare(input, bodyOf(source)) === 0 ? null : input,
    inputTimestamp: timestamp === source.timestamp ? null : timestamp,
  };
}

function bodyOf(record: BareRecord): Uint8Array {
  const body = Buffer.allocUnsafe(bodySize(record));
  writeBody(body, 0, record);
  return body;
}

const isPlace = (number: number): boolean => Number.isSafeInteger(number) && number >= 0;
