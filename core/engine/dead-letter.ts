import type { Header, LogRecord, NewRecord } from '../log/record.ts';

/*
 * The one dead-letter record. A dead letter keeps the source record's key, value, headers and timestamp as they were,
 * so that a replay gives back identical bytes, and says in further headers why it is here. Headers of an earlier
 * death are replaced. Header names and values are ASCII or UTF-8 text, except `millstream.dl.input`.
 *
 *   millstream.dl.id         pipeline/step-or-sink/topicId-partition-offset[-i]
 *   millstream.dl.pipeline   .stage ("step" | "sink" | "source")   .name
 *   millstream.dl.topic      .partition   .offset                  where the source record lies
 *   millstream.dl.sha256     the module's digest; absent for sinks
 *   millstream.dl.code       short upper-case name, e.g. INVALID_JSON
 *   millstream.dl.reason     one sentence
 *   millstream.dl.at         milliseconds since the epoch
 *   millstream.dl.replays    how often it was replayed before
 *   millstream.dl.input      record body (see record.ts) that the failing step was given, when it differs from the source
 *   millstream.dl.input_timestamp  milliseconds since the epoch of that input, when it differs from the source's
 *   millstream.dl.cut        "1": key or value were too long for the topic and are not whole
 *   millstream.dl.replay_of  partition-offset of the letter whose replay died again; absent when this is the first death
 */
export const DEAD_LETTER_PREFIX = 'millstream.dl.';

export interface DeadLetter {
  pipeline: string;
  stage: 'step' | 'sink' | 'source';
  /** The step's or sink's name. */
  name: string;
  topic: string;
  topicId: string;
  partition: number;
  offset: number;
  /** Position among several letters of one record. */
  index: number;
  sha256: string | null;
  code: string;
  reason: string;
  at: number;
  replays: number;
  /** The failing step's input body when it differs from the source record. */
  input: Uint8Array | null;
  /** Milliseconds since the epoch, when the input has another timestamp than the source record. */
  inputTimestamp?: number | null;
  /** Key or value are not whole: it cannot be replayed. */
  cut?: boolean;
  /** The letter (partition-offset in the dead-letter topic) whose replay this is the death of. */
  replayOf?: string | null;
}

export function deadLetterId(letter: DeadLetter): string {
  const suffix = letter.index === 0 ? '' : `-${letter.index}`;
  return `${letter.pipeline}/${letter.name}/${letter.topicId}-${letter.partition}-${letter.offset}${suffix}`;
}

/** The record for `<pipeline>.dead`. */
export function toDeadRecord(
  source: Pick<LogRecord, 'key' | 'value' | 'headers' | 'timestamp'>,
  letter: DeadLetter,
): NewRecord {
  const headers: Header[] = source.headers.filter(([key]) => !key.startsWith(DEAD_LETTER_PREFIX));
  const say = (name: string, value: string | Uint8Array): void => {
    headers.push([DEAD_LETTER_PREFIX + name, typeof value === 'string' ? Buffer.from(value) : value]);
  };
  say('id', deadLetterId(letter));
  say('pipeline', letter.pipeline);
  say('stage', letter.stage);
  say('name', letter.name);
  say('topic', letter.topic);
  say('topic_id', letter.topicId);
  say('partition', String(letter.partition));
  say('offset', String(letter.offset));
  if (letter.sha256) say('sha256', letter.sha256);
  say('code', letter.code);
  say('reason', letter.reason);
  say('at', String(letter.at));
  say('replays', String(letter.replays));
  if (letter.input) say('input', letter.input);
  if (letter.inputTimestamp != null) say('input_timestamp', String(letter.inputTimestamp));
  if (letter.cut) say('cut', '1');
  if (letter.replayOf) say('replay_of', letter.replayOf);
  return { timestamp: source.timestamp, key: source.key, value: source.value, headers };
}

/** Reads one back; null when the record is no dead letter. */
export function fromDeadRecord(record: Pick<LogRecord, 'headers'>): DeadLetter | null {
  const found = new Map<string, Uint8Array>();
  for (const [key, value] of record.headers) {
    if (key.startsWith(DEAD_LETTER_PREFIX) && value) found.set(key.slice(DEAD_LETTER_PREFIX.length), value);
  }
  const text = (name: string): string => Buffer.from(found.get(name) ?? new Uint8Array()).toString();
  if (!found.has('id')) return null;
  const stage = text('stage');
  const tail = /-(\d+)-(\d+)(?:-(\d+))?$/.exec(text('id'));
  return {
    pipeline: text('pipeline'),
    stage: stage === 'sink' || stage === 'source' ? stage : 'step',
    name: text('name'),
    topic: text('topic'),
    topicId: text('topic_id'),
    partition: Number(text('partition')),
    offset: Number(text('offset')),
    index: Number(tail?.[3] ?? 0),
    sha256: found.has('sha256') ? text('sha256') : null,
    code: text('code'),
    reason: text('reason'),
    at: Number(text('at')),
    replays: Number(text('replays')),
    input: found.get('input') ?? null,
    inputTimestamp: found.has('input_timestamp') ? Number(text('input_timestamp')) : null,
    cut: found.has('cut'),
    replayOf: found.has('replay_of') ? text('replay_of') : null,
  };
}
