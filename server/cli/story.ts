import type { PipelineStatus } from '../pipeline-status.ts';
import { recordLine } from './tap.ts';

/*
 * What the first screen says once records flow: what runs where, one record before and after, one dead letter with its
 * reason, counts that add up, and the next command to try.
 */

const WIDTH = 160;

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
    lines.push(`  ${sample.step}, record ${sample.topic}/${sample.partition}@${sample.offset}`);
    const after = sample.after[0];
    lines.push(`    before  ${cut(recordLine(sample.before))}`);
    const route = after && after.output !== 'default' ? ` -> output ${after.output}` : '';
    lines.push(`    after   ${after ? cut(recordLine(after)) : '(dropped)'}${route}`);
  }
  const { last, records } = status.deadLetters;
  if (last) {
    lines.push(`  one of ${count(records)} dead letters, record ${last.topic}/${last.partition}@${last.offset}`);
    lines.push(`    ${last.code} in step ${last.step}: ${last.reason}`);
  }
  lines.push(`  ${countsLine(status)}`);
  for (const sink of status.sinks) {
    lines.push(
      `    sink ${sink.name.padEnd(12)} ${count(sink.written).padStart(8)} written, ${count(sink.filtered)} filtered out`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** `10,000 in = 9,997 emitted + 0 dropped + 0 passed + 3 dead`, over all steps: a record ends in exactly one of them. */
function countsLine(status: PipelineStatus): string {
  const outputs = status.outputs.map(output => `${count(output.records)} to ${output.topic}`);
  const dropped = status.steps.reduce((sum, step) => sum + step.dropped, 0);
  return `${count(status.records)} records in; ${[...outputs, `${count(status.deadLetters.records)} dead`, `${count(dropped)} dropped`].join(', ')}`;
}

const count = (value: number): string => value.toLocaleString('en-US');
const cut = (text: string): string => (text.length > WIDTH ? `${text.slice(0, WIDTH - 1)}…` : text);
