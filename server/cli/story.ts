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

/** What this process has done so far; a process that found nothing to do says what there is from earlier runs. */
export function story(status: PipelineStatus): string {
  const lines: string[] = [];
  if (status.reason) lines.push(`  ${status.state}: ${status.reason}`);
  for (const sample of status.samples) {
    lines.push(`  ${sample.step}  (record ${sample.topic}/${sample.partition}@${sample.offset})`);
    lines.push(...effectLines(sample));
  }
  const { last, records } = status.deadLetters;
  if (last) {
    lines.push(
      `  ${records > 1 ? `one of ${count(records)} dead letters` : 'a dead letter'}, record ${last.topic}/${last.partition}@${last.offset}`,
    );
    lines.push(`    ${last.code} in step ${last.step}: ${last.reason}`, `    ${cut(recordLine(last.record))}`);
  }
  if (hasWorked(status)) lines.push(`  ${countsLine(status)}`, ...sinkLines(status));
  else lines.push(...restLines(status));
  return lines.length > 0 ? `${lines.join('\n')}\n` : '';
}

/** Commands that work on this machine now, for another terminal. */
export function nextCommands(pipelines: readonly PipelineStatus[]): string {
  const pipeline = pipelines.find(each => each.source.total > 0) ?? pipelines[0];
  const topics = pipeline ? [...pipeline.outputs.map(output => output.topic), pipeline.source.topic] : [];
  const held = new Map(
    pipeline
      ? [...pipeline.outputs.map(o => [o.topic, o.total] as const), [pipeline.source.topic, pipeline.source.total]]
      : [],
  );
  const full = topics.find(topic => (held.get(topic) ?? 0) > 0);
  const lines: string[] = [];
  if (full) lines.push(`npx millstream consume ${full} --from earliest --limit 3`);
  else lines.push(`echo '{"hello":"world"}' | npx millstream produce ${pipeline?.source.topic ?? 'greetings'}`);
  if (pipeline && pipeline.steps.length > 0) lines.push(`npx millstream tap ${pipeline.name}`);
  if (!pipeline) lines.push('npx millstream consume greetings --from earliest --exit-at-end');
  return `\nNext, in another terminal:\n${lines.map(line => `  ${line}\n`).join('')}`;
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

function hasWorked({ records, source, sinks }: PipelineStatus): boolean {
  return records > 0 || (source.connector?.read ?? 0) > 0 || sinks.some(sink => sink.in > 0);
}

/** `10,000 records in; 9,658 to birdstrikes.out, 315 to birdstrikes.severe, 27 dead, 0 dropped`. */
function countsLine(status: PipelineStatus): string {
  const outputs = status.outputs.map(output => `${count(output.records)} to ${output.topic}`);
  const dropped = status.steps.reduce((sum, step) => sum + step.dropped, 0);
  const rest = [
    `${count(status.deadLetters.records)} dead`,
    ...(status.steps.length > 0 ? [`${count(dropped)} dropped`] : []),
  ];
  return `${count(status.records)} records in; ${[...outputs, ...rest].join(', ')}`;
}

function sinkLines({ sinks }: PipelineStatus): string[] {
  return sinks.map(({ name, written, filtered }) => {
    const left = filtered > 0 ? `, ${count(filtered)} left out by its \`when\`` : '';
    return `    sink ${name.padEnd(12)} ${count(written).padStart(8)} written${left}`;
  });
}

function restLines({ state, source, outputs, deadLetters }: PipelineStatus): string[] {
  if (state !== 'running') return [];
  if (source.total === 0) return [`  waits for records in ${source.topic}`];
  const kept = [[source.topic, source.total], ...outputs.map(o => [o.topic, o.total])] as [string, number][];
  const dead = deadLetters.total > 0 ? [`${count(deadLetters.total)} in ${deadLetters.topic}`] : [];
  const why =
    source.connector?.state === 'finished'
      ? `the ${source.connector.type} source was read to its end before`
      : 'every record went through before';
  return [
    `  nothing new: ${why}, and positions outlive a restart`,
    `  from earlier runs: ${[...kept.map(([topic, total]) => `${count(total)} in ${topic}`), ...dead].join(', ')}`,
    `  to see one go through again:  npx millstream consume ${source.topic} --from earliest --limit 1 | npx millstream produce ${source.topic}`,
  ];
}

const count = (value: number): string => value.toLocaleString('en-US');
const cut = (text: string, width = WIDTH): string => (text.length > width ? `${text.slice(0, width - 1)}…` : text);
const short = (value: string | null): string => (value === null ? '(nothing)' : cut(value, VALUE_WIDTH));
