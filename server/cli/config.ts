import { hasErrors } from '../../core/config/diagnostic.ts';
import { renderReport, reportOf } from '../config/config-check.ts';
import { findSettings } from '../settings.ts';
import { type Command, EXIT, text } from './command.ts';

export const check: Command = {
  usage: 'config check [--all] [--json]',
  summary: 'read millstream.toml and the environment: what is wrong or without effect, what is set and where',
  words: [0, 0],
  options: {
    all: { type: 'boolean', help: 'the keys with their default values too' },
    json: { type: 'boolean', help: 'the findings and every value in force as JSON' },
  },
  async run(_words, values, io) {
    const { loaded, file } = findSettings(text(values, 'config'), io.env, io.cwd);
    const wrong = hasErrors(loaded.diagnostics);
    if (values['json'] === true) {
      const { values: inForce } = reportOf(loaded, file);
      io.out(`${JSON.stringify({ file, diagnostics: loaded.diagnostics, values: inForce }, null, 2)}\n`);
    } else {
      const report = renderReport(loaded, file, values['all'] === true);
      if (report !== '') io.out(`${report}\n`);
      if (!wrong) io.out(`${file ?? 'no millstream.toml here'}: ok\n`);
    }
    return wrong ? EXIT.problems : EXIT.ok;
  },
};
