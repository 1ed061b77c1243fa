import { MillstreamError } from '../../core/base/errors.ts';
import type { TapEvent } from '../../etl/runner/tap.ts';
import type { SampleRecord } from '../../etl/sandbox/sandbox.ts';
import { type Command, EXIT, usageError, wholeNumber } from './command.ts';
import { ask } from './http-client.ts';
import { SERVER_OPTION, serverOf } from './target.ts';

export const tap: Command = {
  usage: 'tap PIPELINE[.STEP] [--limit N] [--json]',
  summary: 'show records before and after each step of a running pipeline',
  words: [1, 1],
  options: {
    ...SERVER_OPTION,
    limit: { type: 'string', short: 'n', help: 'end after this many samples (default: until interrupted)' },
    json: { type: 'boolean', help: 'one JSON object a line' },
  },
  async run([target = ''], values, io) {
    const [pipeline = '', ...rest] = target.split('.');
    const name = rest.join('.');
    if (pipeline === '' || (target.includes('.') && name === ''))
      throw usageError('tap takes PIPELINE or PIPELINE.STEP');
    const step = name === '' ? '' : `?step=${encodeURIComponent(name)}`;
    const limit = wholeNumber(values, 'limit', 1, 1_000_000) ?? Number.POSITIVE_INFINITY;
    const base = serverOf(values, io);
    const response = await ask(base, `/api/v1/pipelines/${encodeURIComponent(pipeline)}/tap${step}`, {
      signal: io.signal,
    });
    if (values['json'] !== true) io.err(`tapping ${target} at ${base}: samples appear as records flow; ctrl-c ends\n`);
    let seen = 0;
    try {
      for await (const event of eventsOf(response)) {
        io.out(values['json'] === true ? `${JSON.stringify(event)}\n` : eventText(event));
        await io.drained();
        if (++seen >= limit) break;
      }
    } catch (error) {
      if (io.signal.aborted) return EXIT.ok;
      if (error instanceof MillstreamError) throw error;
      throw new MillstreamError('unavailable', 'UNREACHABLE', `the server at ${base} is gone`, { cause: error });
    }
    return EXIT.ok;
  },
};

async function* eventsOf(response: Response): AsyncGenerator<TapEvent> {
  let rest = '';
  for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const blocks = (rest + part).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) if (block.startsWith('data: ')) yield JSON.parse(block.slice(6)) as TapEvent;
  }
}

/** One sample as text: where, then before and after, one line each. */
export function eventText(event: TapEvent): string {
  const lines = [
    `${event.topic}/${event.partition}@${event.offset}  ${event.step}`,
    `  before  ${recordLine(event.before)}`,
  ];
  if (event.error) lines.push(`  failed  ${event.error.code}: ${event.error.reason}`);
  else if (event.after.length === 0) lines.push('  after   (dropped)');
  for (const record of event.after) {
    const route = record.output === 'default' ? '' : ` -> ${record.output}`;
    lines.push(`  after   ${recordLine(record)}${route}`);
  }
  return `${lines.join('\n')}\n`;
}

export function recordLine(record: SampleRecord): string {
  const headers = Object.entries(record.headers).map(([name, value]) => `${name}=${value}`);
  return `${record.value ?? 'null'}${headers.length > 0 ? `  [${headers.join(', ')}]` : ''}`;
}
