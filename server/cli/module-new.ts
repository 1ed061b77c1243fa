import { relative } from 'node:path';
import { LANGUAGES } from '../modules/language.ts';
import { modulesDirectory } from '../modules/project-modules.ts';
import { scaffold } from '../modules/scaffold.ts';
import { requireSettings } from '../settings.ts';
import { type Command, EXIT, text, usageError } from './command.ts';

const names = LANGUAGES.map(({ name }) => name).join('|');

export const create: Command = {
  usage: `module new NAME [--lang ${names}]`,
  summary: 'make a module that works, with cases and a schema of its config',
  words: [1, 1],
  options: { lang: { type: 'string', short: 'l', help: `${names} (default: assemblyscript)` } },
  async run([name = ''], values, io) {
    const wanted = text(values, 'lang') ?? 'assemblyscript';
    const language = LANGUAGES.find(each => each.name === wanted);
    if (!language) throw usageError(`--lang takes ${names}, not "${wanted}"`);
    const settings = requireSettings(text(values, 'config'), io.env, io.cwd);
    const folder = scaffold(language, name, {
      modulesDirectory: modulesDirectory(settings),
      project: settings.baseDirectory,
    });
    io.out(`created ${relative(io.cwd, folder)}: ${language.sources[0]}, module.toml, cases.toml\n`);
    io.err(`Next: millstream module test ${name}\n`);
    return EXIT.ok;
  },
};
