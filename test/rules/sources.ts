import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Every .ts file below the folders, with forward slashes, relative to the root; declarations are left out. */
export function sourceFiles(...folders: string[]): string[] {
  const found: string[] = [];
  const walk = (folder: string): void => {
    for (const name of readdirSync(join(ROOT, folder)).toSorted()) {
      if (name === 'node_modules' || name === 'dist') continue;
      const path = posix.join(folder, name);
      if (statSync(join(ROOT, path)).isDirectory()) walk(path);
      else if (name.endsWith('.ts') && !name.endsWith('.d.ts')) found.push(path);
    }
  };
  for (const folder of folders) walk(folder);
  return found;
}

export const readSource = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** AssemblyScript looks like TypeScript and is not: other types, other rules. */
export const isAssembly = (path: string): boolean => path.includes('/assembly/');

export interface Import {
  /** As written, e.g. `../base/errors.ts`, `zod`, `node:fs`; null when it is not a plain string. */
  specifier: string | null;
  /** For a relative one: the file it names, relative to the root. */
  target: string | null;
  line: number;
}

const FORMS = [
  // import ... from 'x', export ... from 'x', import 'x'
  /(?:^|[;\n])\s*(?:import|export)\b(?:[^'"`;]*?\bfrom)?\s*(['"])(?<name>[^'"\n]+)\1/g,
  // import('x'), also as a type; an argument that is no string leaves `name` out
  /\bimport\s*\(\s*(?:(['"])(?<name>[^'"\n]+)\1)?/g,
  // a file that is loaded by its address, such as a worker
  /\bnew URL\(\s*(['"])(?<name>\.{1,2}\/[^'"\n]+)\1\s*,\s*import\.meta\.url/g,
];

/** Everything that a module loads or takes types from. */
export function importsOf(path: string, text: string): Import[] {
  const code = blank(text, 'comments');
  const found: Import[] = [];
  for (const form of FORMS) {
    for (const match of code.matchAll(form)) {
      const specifier = match.groups?.['name'] ?? null;
      const target = specifier?.startsWith('.') ? posix.join(posix.dirname(path), specifier) : null;
      const at = match.index + match[0].length;
      found.push({ specifier, target, line: code.slice(0, at).split('\n').length });
    }
  }
  return found;
}

/** Replaces comments (or comments and the text in quotes) by spaces; lines stay where they are. */
export function blank(text: string, what: 'comments' | 'comments and strings'): string {
  let out = '';
  let at = 0;
  /** The last character that is not a space: tells a division from a regular expression. */
  let last = '';
  const keep = (end: number): void => {
    out += text.slice(at, end);
    at = end;
  };
  const hide = (end: number): void => {
    out += text.slice(at, end).replace(/[^\n]/g, ' ');
    at = end;
  };
  while (at < text.length) {
    const char = text[at] as string;
    if (text.startsWith('//', at)) hide(endOr(text.indexOf('\n', at), text));
    else if (text.startsWith('/*', at)) hide(endOr(text.indexOf('*/', at + 2), text, 2));
    else if (char === "'" || char === '"' || char === '`' || (char === '/' && startsRegex(text, at, last))) {
      const end = literalEnd(text, at, char);
      if (what === 'comments' && char !== '/') keep(end);
      else hide(end);
      last = char;
    } else {
      if (/\S/.test(char)) last = char;
      keep(at + 1);
    }
  }
  return out;
}

const endOr = (index: number, text: string, more = 0): number => (index === -1 ? text.length : index + more);

function startsRegex(text: string, at: number, last: string): boolean {
  return (
    last === '' || '(,=:[!&|?{};+-*%<>~^'.includes(last) || /\b(?:return|typeof|case|in|of)\s*$/.test(text.slice(0, at))
  );
}

/** The offset behind a string, template or regular expression. Templates are taken whole, with what they hold. */
function literalEnd(text: string, at: number, quote: string): number {
  let inClass = false;
  let depth = 0;
  for (let i = at + 1; i < text.length; i++) {
    const char = text[i];
    if (char === '\\') i++;
    else if (quote === '`' && char === '$' && text[i + 1] === '{') depth++;
    else if (depth > 0) {
      if (char === '}') depth--;
    } else if (quote === '/' && char === '[') inClass = true;
    else if (quote === '/' && char === ']') inClass = false;
    else if (char === quote && !inClass) return i + 1;
    else if (char === '\n' && quote !== '`') return i;
  }
  return text.length;
}

/** `core/base`, `etl/runner`, `server`: the folder that the import table speaks of. */
export function roomOf(path: string): string {
  const [room = '', folder = ''] = dirname(path).split('/');
  return folder === '' ? room : `${room}/${folder}`;
}
