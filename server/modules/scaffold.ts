import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { MillstreamError } from '../../core/base/errors.ts';
import type { Language } from './language.ts';

const NAME = /^[a-z][a-z0-9_-]{0,62}$/;

/**
 * Copies the language's template to `<modulesDirectory>/<name>`. In its files NAME is the module's name, SDK the SDK's
 * folder and PROJECT the folder with node_modules. Returns the new folder. Kind `invalid`: BAD_NAME, EXISTS.
 */
export function scaffold(
  language: Language,
  name: string,
  where: { modulesDirectory: string; project: string },
): string {
  if (!NAME.test(name)) {
    const help = 'a-z first, then a-z, 0-9, _ and -; at most 63';
    throw new MillstreamError('invalid', 'BAD_NAME', `"${name}" is no name for a module`, { help });
  }
  const folder = join(where.modulesDirectory, name);
  if (existsSync(folder)) {
    throw new MillstreamError('invalid', 'EXISTS', `${folder} is there already`, { help: 'choose another name' });
  }
  mkdirSync(folder, { recursive: true });
  cpSync(join(language.sdk, 'template'), folder, { recursive: true });
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const to = (target: string): string => {
      const found = relative(entry.parentPath, target).replaceAll('\\', '/');
      return found.startsWith('.') ? found : `./${found}`;
    };
    const text = readFileSync(path, 'utf8')
      .replace(/\bNAME\b/g, name)
      .replace(/\bSDK\b/g, to(language.sdk))
      .replace(/\bPROJECT\b/g, to(where.project));
    writeFileSync(path, text);
  }
  return folder;
}
