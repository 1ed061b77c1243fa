import { isUtf8 } from 'node:buffer';
import type { LogRecord } from '../../core/engine/records.ts';
import type { BareRecord } from '../../core/engine/replay.ts';
import { type Command, EXIT, table, usageError, wholeNumber } from './command.ts';
import { type Letter, lettersOf } from './dead-letter-topics.ts';
import { WHERE_OPTION, whereOf } from './dead-letter-where.ts';
import { BROKERS_OPTION } from './target.ts';
import { withCluster } from './with-cluster.ts';

export { replay } from './dead-letter-replay.ts';

const JSON_OPTION = { json: { type: 'boolean', help: 'one JSON object a letter' } } as const;
const MOST_REASON = 60;

export const list: Command = {
  usage: 'dead-letter list PIPELINE [--where EXPR ...] [--limit N] [--json]',
  summary: 'list the records that steps and sinks of a pipeline refused',
  words: [1, 1],
  options: {
    ...BROKERS_OPTION,
    ...WHERE_OPTION,
    limit: { type: 'string', short: 'n', help: 'print at most this many (default 1000; with --json all)' },
    ...JSON_OPTION,
  },
  async run([pipeline = ''], values, io) {
    const where = whereOf((values['where'] ?? []) as string[]);
    const asJson = values['json'] === true;
    const limit =
      wholeNumber(values, 'limit', 1, Number.MAX_SAFE_INTEGER) ?? (asJson ? Number.POSITIVE_INFINITY : 1000);
    const rows: (string | number)[][] = [];
    let more = 0;
    await withCluster(values, io, async cluster => {
      let printed = 0;
      for await (const letter of lettersOf(cluster, pipeline, io.signal)) {
        if (!where(letter.letter)) continue;
        if (printed === limit) more++;
        else if (asJson) {
          io.out(`${JSON.stringify(summaryOf(letter))}\n`);
          await io.drained();
        } else rows.push(rowOf(letter));
        printed = Math.min(limit, printed + 1);
      }
    });
    if (rows.length > 0) io.out(table(['ID', 'AT', 'REFUSED BY', 'CODE', 'REASON', 'REPLAYS'], rows));
    else if (!asJson) io.err('no dead letters\n');
    if (more > 0) io.err(`${more.toLocaleString('en-US')} more; --limit or --where show them\n`);
    return EXIT.ok;
  },
};

export const show: Command = {
  usage: 'dead-letter show ID [--json]',
  summary: 'show everything that is known of one dead letter',
  words: [1, 1],
  options: { ...BROKERS_OPTION, ...JSON_OPTION },
  async run([id = ''], values, io) {
    const pipeline = pipelineOf(id);
    let found = 0;
    await withCluster(values, io, async cluster => {
      for await (const letter of lettersOf(cluster, pipeline, io.signal)) {
        if (letter.id !== id) continue;
        const text = values['json'] === true ? `${JSON.stringify(wholeOf(letter))}\n` : pageOf(letter);
        io.out(found > 0 && values['json'] !== true ? `\n${text}` : text);
        found++;
      }
    });
    if (found > 0) return EXIT.ok;
    io.err(`there is no dead letter ${id}; \`millstream dead-letter list ${pipeline}\` lists the ids\n`);
    return EXIT.problems;
  },
};

function pipelineOf(id: string): string {
  const [pipeline = '', ...rest] = id.split('/');
  if (rest.length === 2) return pipeline;
  throw usageError(`a dead letter's ID is PIPELINE/STEP-OR-SINK/TOPICID-PARTITION-OFFSET, not "${id}"`);
}

const isoTime = (at: number): string => (Math.abs(at) <= 8.64e15 ? new Date(at).toISOString() : String(at));

/** What a module or an outside system said goes to a terminal: no control characters. */
const oneLine = (text: string): string => text.replace(/\p{Cc}+/gu, ' ');

function rowOf({ id, letter }: Letter): (string | number)[] {
  const reason = oneLine(letter.reason);
  const cut = reason.length > MOST_REASON ? `${reason.slice(0, MOST_REASON - 1)}…` : reason;
  return [
    oneLine(id),
    isoTime(letter.at),
    oneLine(`${letter.stage} ${letter.name}`),
    oneLine(letter.code),
    cut,
    letter.replays,
  ];
}

function summaryOf({ id, letter, place }: Letter) {
  const { stage, name, code, reason, sha256, replays, replayOf = null, cut = false } = letter;
  const source = { topic: letter.topic, topic_id: letter.topicId, partition: letter.partition, offset: letter.offset };
  return {
    id,
    place,
    at: isoTime(letter.at),
    stage,
    name,
    code,
    reason,
    sha256,
    replays,
    replay_of: replayOf,
    cut,
    source,
  };
}

function wholeOf(letter: Letter) {
  return {
    ...summaryOf(letter),
    record: jsonOf(letter.source),
    given: letter.given === letter.source ? null : jsonOf(letter.given),
  };
}

function jsonOf({ timestamp, key, value, headers }: BareRecord) {
  const of = (bytes: Uint8Array | null) =>
    bytes === null || isUtf8(bytes)
      ? bytes && Buffer.from(bytes).toString()
      : { base64: Buffer.from(bytes).toString('base64') };
  return { timestamp, key: of(key), value: of(value), headers: headers.map(([name, bytes]) => [name, of(bytes)]) };
}

function pageOf(one: Letter): string {
  const { id, letter, place, record, source, given } = one;
  const again = letter.replayOf ? `, the last time as ${record.topic}/${letter.replayOf.replace('-', '@')}` : '';
  const cut = letter.cut ? [line('cut', 'key and value are not whole: this letter cannot be replayed')] : [];
  return [
    line('id', id),
    line('refused', `${isoTime(letter.at)} by ${letter.stage} ${letter.name}`),
    line('code', letter.code),
    line('reason', letter.reason),
    line('source', `${letter.topic}/${letter.partition}@${letter.offset} (topic id ${letter.topicId})`),
    line('letter', `${record.topic}/${place.replace('-', '@')}`),
    ...(letter.sha256 ? [line('module', `sha256 ${letter.sha256}`)] : []),
    line('replays', `${letter.replays}${again}`),
    ...cut,
    ...partsOf('', source),
    ...(given === source
      ? []
      : [`the ${letter.stage} was given, after the steps before it:\n`, ...partsOf('  ', given)]),
  ].join('');
}

function partsOf(indent: string, { timestamp, key, value, headers }: Omit<LogRecord, 'offset'>): string[] {
  return [
    line(`${indent}timestamp`, isoTime(timestamp)),
    line(`${indent}key`, shown(key)),
    ...headers.map(([name, bytes]) => line(`${indent}header`, `${oneLine(name)}: ${shown(bytes)}`, true)),
    line(`${indent}value`, shown(value), true),
  ];
}

const line = (name: string, value: string, isShown = name.endsWith('key')): string =>
  `${name.padEnd(11)} ${isShown ? value : oneLine(value)}\n`;

/** Text as it is; what is none, or would move the cursor of a terminal, in hex. */
function shown(bytes: Uint8Array | null): string {
  if (bytes === null) return '(null)';
  const text = isUtf8(bytes) ? Buffer.from(bytes).toString() : null;
  if (text === '') return '(empty)';
  return text !== null && !/[^\P{Cc}\t\r\n]/u.test(text) ? text : `hex ${Buffer.from(bytes).toString('hex')}`;
}
