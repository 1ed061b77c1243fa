import { type AST, ParseError, parseTOML } from 'toml-eslint-parser';
import type { Diagnostic } from './diagnostic.ts';

/*
 * TOML 1.0 with the position of every key and value. Plain values come out: strings, numbers, booleans, arrays and
 * objects; integers beyond 2^53 are bigint; dates and times are their text as RFC 3339 writes it (nothing in our
 * files takes a date, and a text survives the way into a module's JSON).
 */

export type TomlValue = string | number | bigint | boolean | TomlValue[] | TomlTable;
export interface TomlTable {
  [key: string]: TomlValue;
}

export type Path = readonly (string | number)[];

/** From `column` up to (not including) `endColumn`, counted from 1; `endColumn` lies in the first line. */
export interface Span {
  line: number;
  column: number;
  endColumn: number;
}

export interface TomlDocument {
  file: string;
  text: string;
  value: TomlTable;
  /** Where the key stands; for a table the last name of its header; for an array element the element. The nearest
   * ancestor's key when the path is not in the file. */
  keyAt(path: Path): Span;
  /** Where the value stands; a table with a header of its own gives the header's name. */
  valueAt(path: Path): Span;
  /** Does this key stand in the file? */
  has(path: Path): boolean;
}

/** `sinks.lake.file`, `step[0].name`; names that are not bare keys are quoted. */
export function dotted(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += (text ? '.' : '') + (/^[A-Za-z0-9_-]+$/.test(part) ? part : JSON.stringify(part));
  }
  return text;
}

export function valueIn(value: unknown, path: Path): unknown {
  let at = value;
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<string | number, unknown>)[part];
  }
  return at;
}

/** Parses; on a syntax error the document is null and the one diagnostic says where. Never throws. */
export function parseToml(text: string, file: string): { document: TomlDocument | null; diagnostics: Diagnostic[] } {
  try {
    const program = parseTOML(text, { tomlVersion: '1.0' });
    return { document: new Builder(text, file).build(program), diagnostics: [] };
  } catch (error) {
    if (error instanceof RangeError) return { document: null, diagnostics: [tooDeep(file)] };
    if (!(error instanceof ParseError)) throw error;
    return { document: null, diagnostics: [syntaxError(error, text, file)] };
  }
}

/** The parser too walks nested values by calling itself. */
function tooDeep(file: string): Diagnostic {
  return { file, line: 1, column: 1, severity: 'error', message: 'lists or tables are nested too deeply' };
}

function syntaxError(error: ParseError, text: string, file: string): Diagnostic {
  const line = text.split(/\r?\n/)[error.lineNumber - 1] ?? '';
  const word = /^[A-Za-z0-9_-]+/.exec(line.slice(error.column))?.[0] ?? '';
  const duplicate = error.message.startsWith('Defining a key multiple times');
  return {
    file,
    line: error.lineNumber,
    column: error.column + 1,
    endColumn: error.column + 1 + Math.max(1, word.length),
    severity: 'error',
    message: duplicate
      ? `\`${word}\` is defined a second time`
      : `not valid TOML: ${error.message.charAt(0).toLowerCase()}${error.message.slice(1)}`,
    ...(duplicate ? { help: 'a key, a table header or the path of a dotted key may be defined only once' } : {}),
  };
}

/** Where a key and its value stand, with what is below them. */
interface Place {
  key: Span;
  value: Span;
  depth: number;
  children: Map<string | number, Place>;
}

/** Whoever walks a document calls itself once a level. */
const MAX_DEPTH = 100;

const START: Span = { line: 1, column: 1, endColumn: 2 };

class Builder implements TomlDocument {
  readonly value: TomlTable = {};
  readonly text: string;
  readonly file: string;
  private readonly root: Place = { key: START, value: START, depth: 0, children: new Map() };

  constructor(text: string, file: string) {
    this.text = text;
    this.file = file;
  }

  build(program: AST.TOMLProgram): TomlDocument {
    for (const node of program.body[0].body) {
      if (node.type === 'TOMLKeyValue') this.keyValue(this.value, this.root, node);
      else this.table(node);
    }
    return this;
  }

  has(path: Path): boolean {
    return this.find(path).length === path.length;
  }

  keyAt(path: Path): Span {
    return this.find(path).place.key;
  }

  valueAt(path: Path): Span {
    return this.find(path).place.value;
  }

  /** The place of the longest part of the path that is there. */
  private find(path: Path): { place: Place; length: number } {
    let place = this.root;
    for (let length = 0; length < path.length; length++) {
      const child = place.children.get(path[length] as string | number);
      if (!child) return { place, length };
      place = child;
    }
    return { place, length: path.length };
  }

  private table(node: AST.TOMLTable): void {
    // `resolvedKey` carries the element index of every array of tables on the way.
    let at: TomlTable | TomlValue[] = this.value;
    let place = this.root;
    let name = 0;
    node.resolvedKey.forEach((part, i) => {
      const key = node.key.keys[typeof part === 'string' ? name++ : name - 1];
      const span = key ? spanOf(key) : START;
      place = childOf(place, part, span, span);
      at = descend(at, part, typeof node.resolvedKey[i + 1] === 'number');
    });
    for (const each of node.body) this.keyValue(at, place, each);
  }

  private keyValue(table: TomlTable, base: Place, node: AST.TOMLKeyValue): void {
    let at: TomlTable = table;
    let place = base;
    const keys = node.key.keys;
    keys.forEach((key, i) => {
      const name = key.type === 'TOMLBare' ? key.name : key.value;
      const isLast = i === keys.length - 1;
      place = childOf(place, name, spanOf(key), spanOf(isLast ? node.value : key));
      if (isLast) define(at, name, this.content(node.value, place));
      else at = descend(at, name, false) as TomlTable;
    });
  }

  private content(node: AST.TOMLContentNode, place: Place): TomlValue {
    if (node.type === 'TOMLArray') {
      return node.elements.map((element, i) =>
        this.content(element, childOf(place, i, spanOf(element), spanOf(element))),
      );
    }
    if (node.type === 'TOMLInlineTable') {
      const table: TomlTable = {};
      for (const each of node.body) this.keyValue(table, place, each);
      return table;
    }
    switch (node.kind) {
      case 'integer':
        return Number.isSafeInteger(Number(node.bigint)) ? Number(node.bigint) : node.bigint;
      case 'string':
      case 'float':
      case 'boolean':
        return node.value;
      case 'offset-date-time':
      case 'local-date-time':
      case 'local-date':
      case 'local-time':
        return node.datetime.replace(/^(\S{10})[ t]/, '$1T').replace(/z$/, 'Z');
    }
  }
}

/** The first mention of a table is where it is. */
function childOf(parent: Place, name: string | number, key: Span, value: Span): Place {
  let child = parent.children.get(name);
  if (!child) {
    if (parent.depth === MAX_DEPTH) throw new RangeError(`more than ${MAX_DEPTH} levels`);
    child = { key, value, depth: parent.depth + 1, children: new Map() };
    parent.children.set(name, child);
  }
  return child;
}

/** A key named `__proto__` must become a key, not a prototype. */
function define(table: TomlTable, name: string, value: TomlValue): void {
  Object.defineProperty(table, name, { value, enumerable: true, configurable: true, writable: true });
}

function descend(at: TomlTable | TomlValue[], part: string | number, toArray: boolean): TomlTable | TomlValue[] {
  if (typeof part === 'number') {
    const array = at as TomlValue[];
    array[part] ??= {};
    return array[part] as TomlTable;
  }
  const table = at as TomlTable;
  if (!Object.hasOwn(table, part)) define(table, part, toArray ? [] : {});
  return table[part] as TomlTable | TomlValue[];
}

function spanOf(node: { loc: AST.HasLocs['loc'] }): Span {
  const { start, end } = node.loc;
  return {
    line: start.line,
    column: start.column + 1,
    endColumn: end.line === start.line ? end.column + 1 : Number.MAX_SAFE_INTEGER,
  };
}
