/**
 * Compiling WebAssembly takes most of a check. What was once found to be up to date is not compiled again until one of
 * its inputs changes: the sources, the compiler, how it is called, or the committed bytes themselves. The notes lie in
 * node_modules, so that a fresh clone compiles everything.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const INPUTS = [
  'sdk/assemblyscript',
  'modules',
  'etl/sandbox/frame-helper',
  'scripts',
  'node_modules/assemblyscript/package.json',
];
const NOTE = join(ROOT, 'node_modules/.cache/millstream/compiled');

/** One digest over everything that compiled files are made from, and over those files. */
export async function digestOfInputs(): Promise<string> {
  const digest = createHash('sha256');
  for (const input of INPUTS) {
    for (const path of await filesBelow(join(ROOT, input))) {
      digest
        .update(`${relative(ROOT, path)}\0`)
        .update(await readFile(path))
        .update('\0');
    }
  }
  return digest.digest('hex');
}

/** Whether these inputs were found to be up to date before. */
export async function isNoted(digest: string): Promise<boolean> {
  return (await readFile(NOTE, 'utf8').catch(() => '')) === digest;
}

export async function note(digest: string): Promise<void> {
  await mkdir(dirname(NOTE), { recursive: true });
  await writeFile(NOTE, digest);
}

async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true, recursive: true }).catch(() => null);
  if (!entries) return [path];
  return entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .toSorted();
}
