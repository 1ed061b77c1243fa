import { isUtf8 } from 'node:buffer';
import type { RowEnder } from './rows.ts';

/*
 * CSV as RFC 4180 has it: fields are parted by commas, rows by LF or CRLF; a field in double quotes may hold commas,
 * newlines and quotes (written twice). The first row names the columns.
 */
const QUOTE = 0x22;
const COMMA = 0x2c;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Ends a row at the first newline outside of quotes. */
export const csvEnd: RowEnder = (bytes, from) => {
  const newline = bytes.indexOf(NEWLINE, from);
  if (newline === -1) return null;
  if (!bytes.subarray(from, newline).includes(QUOTE)) return rowTo(bytes, from, newline);
  for (let at = from; at < bytes.length; at++) {
    if (bytes[at] === QUOTE) {
      at = behindQuotes(bytes, at);
      // The quote may be the first of two, whose second is not read yet.
      if (at === -1 || at >= bytes.length) return null;
    }
    while (at < bytes.length && bytes[at] !== COMMA && bytes[at] !== NEWLINE) at++;
    if (bytes[at] === NEWLINE) return rowTo(bytes, from, at);
  }
  return null;
};

function rowTo(bytes: Buffer, from: number, newline: number): { end: number; next: number } {
  return { end: newline > from && bytes[newline - 1] === RETURN ? newline - 1 : newline, next: newline + 1 };
}

/** The place behind the closing quote of the field that is opened at `at`; -1 when it is never closed. */
function behindQuotes(bytes: Buffer, at: number): number {
  for (let from = at + 1; ; from += 2) {
    from = bytes.indexOf(QUOTE, from);
    if (from === -1) return -1;
    if (bytes[from + 1] !== QUOTE) return from + 1;
  }
}

export type CsvFault = { code: 'CSV_QUOTES' | 'CSV_COLUMNS' | 'NOT_UTF8'; reason: string; unclosed?: boolean };

/** The fields of one row, or what is wrong with it. */
export function csvFields(row: Buffer): string[] | CsvFault {
  if (!isUtf8(row)) return { code: 'NOT_UTF8', reason: 'the row is not UTF-8 text' };
  if (!row.includes(QUOTE)) return row.toString().split(',');
  const fields: string[] = [];
  for (let at = 0; ; at++) {
    const isQuoted = row[at] === QUOTE;
    const end = isQuoted ? behindQuotes(row, at) : endOfField(row, at);
    if (end === -1) return { code: 'CSV_QUOTES', reason: 'a quote is opened and not closed', unclosed: true };
    if (end < row.length && row[end] !== COMMA) {
      return { code: 'CSV_QUOTES', reason: 'there is text behind a closing quote' };
    }
    fields.push(isQuoted ? row.toString('utf8', at + 1, end - 1).replaceAll('""', '"') : row.toString('utf8', at, end));
    if (end >= row.length) return fields;
    at = end;
  }
}

function endOfField(row: Buffer, at: number): number {
  const comma = row.indexOf(COMMA, at);
  return comma === -1 ? row.length : comma;
}

export interface CsvOptions {
  /** Write what looks like a number as a JSON number. */
  types: boolean;
  snakeCase: boolean;
}

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** Rows as JSON objects, keys in the order of the columns. */
export class CsvColumns {
  readonly names: readonly string[];
  private readonly prefixes: readonly string[];
  private readonly types: boolean;

  constructor(header: readonly string[], { types, snakeCase }: CsvOptions) {
    this.names = distinct(header.map((name, i) => (snakeCase ? toSnakeCase(name) : name) || `column_${i + 1}`));
    this.prefixes = this.names.map((name, i) => `${i === 0 ? '{' : ','}${JSON.stringify(name)}:`);
    this.types = types;
  }

  toJson(fields: readonly string[]): string | CsvFault {
    const expected = this.prefixes.length;
    if (fields.length !== expected) {
      const reason = `the row has ${fields.length} ${fields.length === 1 ? 'field' : 'fields'}, the header ${expected}`;
      return { code: 'CSV_COLUMNS', reason };
    }
    let json = '';
    for (let i = 0; i < expected; i++) {
      const field = fields[i] as string;
      json += this.prefixes[i] as string;
      json += this.types && isExactNumber(field) ? field : JSON.stringify(field);
    }
    return `${json}}`;
  }
}

/** Numbers that a double keeps; a longer one is an id and stays text. */
function isExactNumber(field: string): boolean {
  if (!NUMBER.test(field)) return false;
  const value = Number(field);
  return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
}

/** "Aircraft Make/Model" and "aircraftMakeModel" become aircraft_make_model. */
export function toSnakeCase(name: string): string {
  return name
    .replaceAll(/(\p{Ll}|\p{N})(\p{Lu})/gu, '$1_$2')
    .replaceAll(/(\p{Lu})(\p{Lu}\p{Ll})/gu, '$1_$2')
    .replaceAll(/[^\p{L}\p{N}]+/gu, '_')
    .replaceAll(/^_+|_+$/g, '')
    .toLowerCase();
}

/** A second column of one name gets a number, so that none is lost. */
function distinct(names: readonly string[]): string[] {
  const seen = new Set<string>();
  return names.map(name => {
    let free = name;
    for (let n = 2; seen.has(free); n++) free = `${name}_${n}`;
    seen.add(free);
    return free;
  });
}
