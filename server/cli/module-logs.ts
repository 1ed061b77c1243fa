import type { ModuleLogLine } from '../../etl/runner/module-logs.ts';
import { type Command, EXIT } from './command.ts';
import { ask } from './http-client.ts';
import { SERVER_OPTION, serverOf } from './target.ts';

const LEVELS = ['debug', 'info', 'warn', 'error'];

export const logs: Command = {
  usage: 'module logs PIPELINE[.STEP] [--json]',
  summary: 'show what the modules of a running pipeline logged last',
  words: [1, 1],
  options: { ...SERVER_OPTION, json: { type: 'boolean', help: 'one JSON object a line' } },
  async run([target = ''], values, io) {
    const [pipeline = '', ...rest] = target.split('.');
    const step = rest.length === 0 ? '' : `?step=${encodeURIComponent(rest.join('.'))}`;
    const response = await ask(serverOf(values, io), `/api/v1/pipelines/${encodeURIComponent(pipeline)}/logs${step}`);
    const { lines } = (await response.json()) as { lines: (Omit<ModuleLogLine, 'at'> & { at: string })[] };
    for (const line of lines) {
      // What a module says goes to a terminal: no control characters.
      const text = line.line.replace(/[^\P{Cc}\n]+/gu, ' ').replaceAll('\n', '\n    ');
      const shown = `${line.at}  ${LEVELS[line.level] ?? 'info'}  ${line.step}/${line.partition}  ${text}\n`;
      io.out(values['json'] === true ? `${JSON.stringify(line)}\n` : shown);
    }
    if (lines.length === 0) io.err('nothing was logged\n');
    return EXIT.ok;
  },
};
