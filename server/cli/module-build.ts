import { buildModule, moduleFolders } from '../modules/project-modules.ts';
import { requireSettings } from '../settings.ts';
import { type Command, EXIT, text } from './command.ts';

export const build: Command = {
  usage: 'module build [NAME|FOLDER ...] [--debug]',
  summary: 'compile modules of the project to WebAssembly',
  words: [0, 1000],
  options: { debug: { type: 'boolean', help: 'with names and assertions, for stack traces (AssemblyScript)' } },
  async run(words, values, io) {
    const settings = requireSettings(text(values, 'config'), io.env, io.cwd);
    for (const where of moduleFolders(settings, words)) {
      const { module, milliseconds } = await buildModule(where, { debug: values['debug'] === true });
      const size = `${(module.bytes.length / 1024).toFixed(1)} KiB`;
      io.out(`${where.shown}: ${size}, sha256 ${module.sha256.slice(0, 12)}, ${(milliseconds / 1000).toFixed(1)} s\n`);
    }
    return EXIT.ok;
  },
};
