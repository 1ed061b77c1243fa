import type { Fate, LetterLine, Onward, Origin, Place, PlaceRange, SinkLine, Trace } from '../lineage/trace-types.ts';
import { type Command, EXIT, usageError } from './command.ts';
import { ask } from './http-client.ts';
import { SERVER_OPTION, serverOf } from './target.ts';

export const trace: Command = {
  usage: 'trace TOPIC/PARTITION@OFFSET [--json]',
  summary: 'say where a record comes from and what became of it, through pipelines, dead letters and sinks',
  words: [1, 1],
  options: { ...SERVER_OPTION, json: { type: 'boolean', help: 'as JSON' } },
  async run([word = ''], values, io) {
    const [, topic = '', partition = '', offset = ''] = /^([^/@]+)\/(\d+)@(\d+)$/.exec(word) ?? [];
    if (topic === '') throw usageError(`a record is named like orders/3@1234, not "${word}"`);
    const path = `/api/v1/trace/${encodeURIComponent(topic)}/${partition}/${offset}`;
    const found = (await (await ask(serverOf(values, io), path)).json()) as Trace;
    if (values['json'] === true) io.out(`${JSON.stringify(found, null, 2)}\n`);
    else io.out(`${linesOf(found).join('\n')}\n`);
    return EXIT.ok;
  },
};

const place = ({ topic, partition, offset }: Place): string => `${topic}/${partition}@${offset}`;
const among = ({ topic, partition, from, to }: PlaceRange): string =>
  `one or more of ${topic}/${partition}@${from} to @${to - 1}`;
const time = (at: number): string => new Date(at).toISOString();
const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;

function linesOf(found: Trace): string[] {
  const key = found.key === null ? '' : `, key ${JSON.stringify(found.key)}`;
  return [
    `${place(found)}, ${found.timestamp >= 0 ? time(found.timestamp) : 'no timestamp'}${key}`,
    'comes from',
    ...found.backward.map((origin, i) => `${'  '.repeat(i + 1)}${originLine(origin)}`),
    'went to',
    ...indent(onwardLines(found.forward)),
  ];
}

function originLine({ by, name, committedAt, steps, record, range, note }: Origin): string {
  const said = note ? ` (${note})` : '';
  if (by === 'producer') return `a producer${said}`;
  const when = committedAt === null ? '' : `, committed ${time(committedAt)}`;
  if (by === 'source') return `the source of pipeline ${name}${when}${said}`;
  const before = record
    ? place(record)
    : range
      ? `${range.topic}/${range.partition}@${range.from} to @${range.to - 1}`
      : '';
  if (by === 'replay') return `${before}, a dead letter that was replayed${said}`;
  const modules = steps.length > 0 ? ` [${steps.map(step => `${step.name} ${step.sha256}`).join(', ')}]` : '';
  return `${before}${said}, by ${by} ${name}${modules}${when}`;
}

function onwardLines({ pipelines, sinks }: Onward): string[] {
  const lines = [...pipelines.flatMap(fateLines), ...sinks.flatMap(sinkLines)];
  return lines.length > 0 ? lines : ['nobody: no pipeline or sink that runs reads it'];
}

function fateLines(fate: Fate): string[] {
  const { pipeline, state, position, committedAt, steps, droppedBy, outputs, deadLetters, note } = fate;
  const when = committedAt === null ? '' : `, committed ${time(committedAt)}`;
  const modules = steps.length > 0 ? ` [${steps.map(step => `${step.name} ${step.sha256}`).join(', ')}]` : '';
  const what = {
    waiting: `waits; it has committed up to offset ${position ?? 'none'}`,
    emitted: count(outputs.length, 'output record'),
    dead: count(deadLetters.length, 'dead letter'),
    dropped: `dropped by ${droppedBy.length > 0 ? droppedBy.join(' or ') : 'a step'}`,
    unknown: 'not known',
  }[state];
  return [
    `pipeline ${pipeline}: ${what}${note ? ` (${note})` : ''}${modules}${when}`,
    ...indent([
      ...outputs.flatMap(output => [place(output), ...indent(onwardLines(output.next))]),
      ...fate.among.map(among),
      ...deadLetters.map(letterLine),
    ]),
  ];
}

function sinkLines({ pipeline, sink, position, state, deadLetters }: SinkLine): string[] {
  const what = {
    passed: `has passed it, committed up to offset ${position}`,
    waiting: `has not committed it yet, only up to offset ${position ?? 'none'}`,
    dead: 'refused it',
  }[state];
  return [`sink ${pipeline}.${sink}: ${what}`, ...indent(deadLetters.map(letterLine))];
}

function letterLine(letter: LetterLine): string {
  return `${place(letter)}, dead letter ${letter.id}: ${letter.code} in ${letter.refusedBy}: ${letter.reason}`;
}

const indent = (lines: readonly string[]): string[] => lines.map(line => `  ${line}`);
