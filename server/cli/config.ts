import { renderDiagnostics, hasErrors } from '../../core/config/diagnostic.ts';
import { findSettings } from '../settings.ts';
import { type Command, EXIT, text } from './command.ts';

export const check: Command = {
  usage: 'config check [--config FILE] [--json]',
  summary: 'read millstream.toml and the environment, and say what is wrong or without effect',
  words: [0, 0],
  options: { json: { type: 'boolean', help: 'the findings as JSON' } },
  async run(_words, values, io) {
    const { loaded, file } = findSettings(text(values, 'config'), io.env, io.cwd);
    const { diagnostics } = loaded;
    if (values['json'] === true) io.out(`${JSON.stringify({ file, diagnostics }, null, 2)}\n`);
    else {
      const shown = renderDiagnostics(diagnostics, name => (name === file ? loaded.text : undefined));
      if (shown !== '') io.out(`${shown}\n`);
      if (!hasErrors(diagnostics)) io.out(`${file ?? 'no millstream.toml: every key has its default'}: ok\n`);
    }
    return hasErrors(diagnostics) ? EXIT.problems : EXIT.ok;
  },
};
