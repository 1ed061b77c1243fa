import { loadModules } from '../project.ts';
import { requireSettings } from '../settings.ts';
import { type Command, EXIT, table, text } from './command.ts';

export const list: Command = {
  usage: 'module list [--json]',
  summary: 'list the modules that pipelines can name',
  words: [0, 0],
  options: { json: { type: 'boolean', help: 'as JSON' } },
  async run(_words, values, io) {
    const modules = loadModules(requireSettings(text(values, 'config'), io.env, io.cwd)).list();
    if (values['json'] === true) {
      const shown = modules.map(({ bytes, ...rest }) => ({ ...rest, size_bytes: bytes.length }));
      io.out(`${JSON.stringify(shown, null, 2)}\n`);
    } else {
      const rows = modules.map(m => [
        m.name,
        m.version,
        m.sha256.slice(0, 12),
        m.form === null ? m.abi : `${m.abi}, ${m.form}`,
        m.bytes.length,
        m.description ?? '',
      ]);
      io.out(table(['MODULE', 'VERSION', 'SHA256', 'ABI', 'BYTES', 'DESCRIPTION'], rows));
    }
    return EXIT.ok;
  },
};
