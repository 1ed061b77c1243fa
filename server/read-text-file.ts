import { readFileSync } from 'node:fs';
import { isAbsolute, relative } from 'node:path';

const SENTENCES: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'there is no permission to read it',
  ENOTDIR: 'a part of its path is no folder',
};

/** The file's text. Throws an error whose message says only what is wrong, as the file is named where it is shown. */
export function readTextFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new Error(SENTENCES[code] ?? message, { cause: error });
  }
}

/** As a person in `cwd` would write it: relative when it lies below. */
export function shownPath(path: string, cwd: string): string {
  const below = relative(cwd, path);
  return below === '' || below.startsWith('..') || isAbsolute(below) ? path : below;
}
