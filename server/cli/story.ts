import type { TapEvent } from '../../etl/runner/tap.ts';
import type { PipelineStatus } from '../pipeline-status.ts';
import { changesOf } from './changes.ts';
import { recordLine } from './tap.ts';

/*
 * What the first screen says once records flow: what runs where, one record before and after, one dead letter with its
 * reason, counts that add up, and the next command to try.
 */

const WIDTH = 110;
const VALUE_WIDTH = 40;

/** The pipeline's path in one line: source -> steps -> sinks. */
export function pathLine(status: PipelineStatus): string {
  const { connector, topic } = status.source;
  const steps = status.steps.map(step => step.step);
  const sinks = status.sinks.map(sink => sink.name).join(', ');
  return [connector ? `${connector.type} source` : null, `topic ${topic}`, ...steps, sinks || 'no sinks']
    .filter(part => part !== null)
    .join(' -> ');
}

export function story(status: PipelineStatus): string {
  const lines: string[] = [];
  for (const sample of status.samples) {
    lines.push(`  ${sample.step}  (record ${sample.topic}/${sample.partition}@${sample.offset})`);
    lines.push(...effectLines(sample));
  }
  const { last, records } = status.deadLetters;
  if (last) {
    lines.push(`  one of ${count(records)} dead letters, record ${last.topic}/${last.partition}@${last.offset}`);
    lines.push(`    ${last.code} in step ${last.step}: ${last.reason}`, `    ${cut(recordLine(last.record))}`);
  }
  lines.push(`  ${countsLine(status)}`);
  for (const sink of status.sinks) {
    lines.push(
      `    sink ${sink.name.padEnd(12)} ${count(sink.written).padStart(8)} written, ${count(sink.filtered)} filtered out`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** What the step did to the record: its changes, its route, or that it dropped it. */
function effectLines({ before, after: [after] }: TapEvent): string[] {
  if (!after) return ['    dropped'];
  const changes = changesOf(before, after);
  const width = Math.max(...changes.map(change => change.what.length));
  const lines = changes.map(
    ({ what, before: was, after: is }) => `    ${what.padEnd(width)}  ${short(was)} -> ${short(is)}`,
  );
  if (changes.length === 0) lines.push('    unchanged');
  if (after.output !== 'default') lines.push(`    routed to output ${after.output}`);
  return lines;
}

/** `10,000 in = 9,997 emitted + 0 dropped + 0 passed + 3 dead`, over all steps: a record ends in exactly one of them. */
function countsLine(status: PipelineStatus): string {
  const outputs = status.outputs.map(output => `${count(output.records)} to ${output.topic}`);
  const dropped = status.steps.reduce((sum, step) => sum + step.dropped, 0);
  return `${count(status.records)} records in; ${[...outputs, `${count(status.deadLetters.records)} dead`, `${count(dropped)} dropped`].join(', ')}`;
}

const count = (value: number): string => value.toLocaleString('en-US');
const cut = (text: string, width = WIDTH): string => (text.length > width ? `${text.slice(0, width - 1)}…` : text);
const short = (value: string | null): string => (value === null ? '(nothing)' : cut(value, VALUE_WIDTH));
