import { type Column, fingerprintOf } from '../schema/columns.ts';
import * as numbers from '../values/numbers.ts';
import * as texts from '../values/texts.ts';
import * as times from '../values/times.ts';
import { ColumnError } from './column-error.ts';
import { type DescriptorProto, descriptorOf } from './descriptor.ts';
import { jsonRow, type JsonOptions } from './json-encoder.ts';
import { type Fields, withColumnNames } from './names.ts';
import { NUMBER_ROOM, type ProtoWriter } from './proto-writer.ts';

/*
 * Rows as protocol buffers for the Storage Write API. For each schema a function is generated: reading named properties
 * and writing known tags is several times faster than walking the columns (bench/bigquery-encoder.ts). Names reach the
 * generated code as JSON strings only. Whatever is not plainly right (another spelling, an unknown field, a value that
 * does not fit) makes the function give up, and the slow way finds out what it is.
 */

type EncodeMessage = (row: Fields, writer: ProtoWriter) => void;

/** Given up: thrown without a stack, caught in `encode`. */
const GIVE_UP = { gaveUp: true };

export class RowEncoder {
  readonly columns: readonly Column[];
  readonly fingerprint: string;
  readonly descriptor: DescriptorProto;
  private readonly write: EncodeMessage;
  private readonly options: JsonOptions;

  constructor(columns: readonly Column[], options: JsonOptions) {
    this.columns = columns;
    this.fingerprint = fingerprintOf(columns);
    this.descriptor = descriptorOf(columns);
    this.options = options;
    this.write = generate(columns, options);
  }

  /** One serialized row, a view into the writer's chunk. Throws ColumnError. */
  encode(row: Fields, writer: ProtoWriter): Uint8Array {
    writer.beginRow();
    try {
      this.write(row, writer);
      return writer.endRow();
    } catch {
      writer.dropRow();
    }
    const named = withColumnNames(this.columns, row, this.options.ignoreUnknown);
    writer.beginRow();
    try {
      this.write(named, writer);
      return writer.endRow();
    } catch (thrown) {
      writer.dropRow();
      // Says which column it is.
      jsonRow(this.columns, named, this.options);
      const reason = thrown instanceof Error ? thrown.message : 'the row does not fit the table';
      throw new ColumnError('INVALID_VALUE', '', reason);
    }
  }
}

function generate(columns: readonly Column[], { epoch }: JsonOptions): EncodeMessage {
  const source = new Source();
  const main = source.message(columns);
  const code = `'use strict';\n${source.functions.join('\n')}\nreturn ${main};`;
  // oxlint-disable-next-line typescript/no-implied-eval -- made of the schema's names as JSON strings, see above
  const make = new Function('numbers', 'texts', 'times', 'epoch', 'columns', 'GIVE_UP', code) as (
    ...given: unknown[]
  ) => EncodeMessage;
  return make(numbers, texts, times, epoch, source.columns, GIVE_UP);
}

class Source {
  readonly functions: string[] = [];
  /** Columns that the code refers to by number. */
  readonly columns: Column[] = [];

  /** Adds the function for a message; its name. */
  message(columns: readonly Column[]): string {
    const name = `message${this.functions.length}`;
    const at = this.functions.push('') - 1;
    // Counts the properties that are columns: one more in the row is an unknown one.
    const body = columns.map((column, index) => this.field(column, index + 1)).join('');
    this.functions[at] =
      `function ${name}(row, w) {\n  let known = 0, v;\n${body}` +
      `  if (known !== Object.keys(row).length) throw GIVE_UP;\n}`;
    return name;
  }

  private field(column: Column, number: number): string {
    const { name, mode, hasDefault } = column;
    const missing = mode === 'REQUIRED' && !hasDefault ? ' else throw GIVE_UP;' : '';
    const isNull = missing === '' ? '' : ' if (v === null) throw GIVE_UP;';
    const write = mode === 'REPEATED' ? this.elements(column, number) : this.value(column, number, 'v');
    return (
      `  v = ${propertyOf(name)};\n` +
      `  if (v !== undefined) {\n    known++;${isNull}\n    if (v !== null) {\n${write}    }\n  }${missing}\n`
    );
  }

  private elements(column: Column, number: number): string {
    return (
      `      if (!Array.isArray(v)) throw GIVE_UP;\n      for (const e of v) {\n` +
      `        if (e === null || e === undefined) throw GIVE_UP;\n${this.value(column, number, 'e')}      }\n`
    );
  }

  private value(column: Column, number: number, v: string): string {
    const [wire, write] = this.writing(column, v);
    return `      w.reserve(${NUMBER_ROOM + 8});\n      ${tag((number << 3) | wire)}\n      ${write}\n`;
  }

  /** Wire type, and the code that writes the value. */
  private writing(column: Column, v: string): [wire: 0 | 1 | 2, code: string] {
    const { type, maxLength } = column;
    switch (type) {
      case 'INT64':
        return [
          0,
          `if (typeof ${v} === 'number' && (${v} >>> 0) === ${v}) w.varint(${v}); else w.int64(numbers.toInt64(${v}));`,
        ];
      case 'FLOAT64':
        return [1, `w.double(typeof ${v} === 'number' ? ${v} : numbers.toFloat64(${v}));`];
      case 'BOOL':
        return [0, `w.buffer[w.at++] = ${v} === true ? 1 : ${v} === false ? 0 : numbers.toBool(${v}) ? 1 : 0;`];
      case 'DATE':
        return [0, `w.int64(times.toDays(${v}));`];
      case 'TIMESTAMP':
        return column.secondDigits === 12
          ? [2, `w.text(times.toInstantText(${v}, epoch, 12));`]
          : [0, `w.int64(times.toMicros(${v}, epoch));`];
      case 'STRUCT':
        return [
          2,
          `if (typeof ${v} !== 'object' || Array.isArray(${v})) throw GIVE_UP; ` +
            `const f = w.begin(); ${this.message(column.fields)}(${v}, w); w.end(f);`,
        ];
      case 'STRING':
        return maxLength === undefined
          ? [2, `w.text(typeof ${v} === 'string' && ${v}.isWellFormed() ? ${v} : texts.toText(${v}));`]
          : [2, `w.text(texts.toText(${v}, ${maxLength}));`];
      case 'BYTES':
        return [2, `w.bytes(texts.toBytes(${v}, ${maxLength}));`];
      case 'NUMERIC':
      case 'BIGNUMERIC':
        return [2, `w.text(numbers.toDecimal(${v}, columns[${this.columns.push(column) - 1}]));`];
      case 'DATETIME':
        return [2, `w.text(times.toDateTime(${v}));`];
      case 'TIME':
        return [2, `w.text(times.toTime(${v}));`];
      case 'GEOGRAPHY':
        return [2, `w.text(texts.toGeography(${v}));`];
      case 'JSON':
        return [2, `w.text(texts.toJson(${v}));`];
      case 'INTERVAL':
        return [2, `w.text(texts.toInterval(${v}));`];
    }
  }
}

/** Names that every object seems to have are looked for among the row's own. */
function propertyOf(name: string): string {
  const quoted = JSON.stringify(name);
  return name in Object.prototype ? `Object.hasOwn(row, ${quoted}) ? row[${quoted}] : undefined` : `row[${quoted}]`;
}

function tag(value: number): string {
  let code = '';
  for (; value > 0x7f; value >>>= 7) code += `w.buffer[w.at++] = ${(value & 0x7f) | 0x80}; `;
  return `${code}w.buffer[w.at++] = ${value};`;
}
