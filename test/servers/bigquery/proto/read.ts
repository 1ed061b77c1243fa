/**
 * Reads rows by their plan. Without `out` a row is only checked: what is kept is its bytes, and they are read again, by
 * the same code, when somebody asks for the rows.
 */
import { isUtf8 } from 'node:buffer';
import { inRange, MAX_DATE, MIN_DATE, unpackDatetime, unpackTime } from '../model/civil.ts';
import { defaultOf } from '../model/defaults.ts';
import { fromBytes, fromDouble, fromInteger, keeps } from '../model/numeric.ts';
import type { Column, Value } from '../model/schema.ts';
import { fromText } from '../model/text-values.ts';
import { type FieldPlan, type Plan, Type } from './plan.ts';
import * as wire from './wire.ts';

/** One row that is refused; becomes a RowError in the answer. */
export class RowRefused extends Error {
  override readonly name = 'RowRefused';
}

/** What stands for a column that the row leaves out. */
export interface Missing {
  readonly now: number;
  /** Whether that column's default is wanted, by its lower-case name; only for columns of the top level. */
  wantsDefault(key: string): boolean;
}

/** @throws RowRefused, MalformedRow */
export function checkRow(plan: Plan, bytes: Uint8Array, from: number, to: number, missing: Missing): void {
  // CDC rows are read wholly: which columns must be there depends on a value.
  readRow(plan, bytes, from, to, plan.change === null ? null : [], missing);
}

/** The values of a row in the order of `plan.columns`. */
export function readRow<T extends Value[] | null>(
  plan: Plan,
  bytes: Uint8Array,
  from: number,
  to: number,
  out: T,
  missing: Missing,
): T {
  wire.open(bytes);
  wire.seek(from, to);
  readMessage(plan, out, missing, true);
  return out;
}

function readMessage(plan: Plan, out: Value[] | null, missing: Missing, top: boolean): void {
  if (out) for (const column of plan.columns) out.push(column.mode === 'REPEATED' ? [] : null);
  const many = plan.required.length > 30 ? new Set<number>() : null;
  let seen = 0;
  const given = out && top ? new Set<number>() : null;
  while (wire.more()) {
    const tag = wire.readSmall();
    const field = plan.byNumber[tag >>> 3];
    if (field === undefined)
      throw new RowRefused(`The row has a field number ${tag >>> 3} that is not in the writer schema`);
    if (field.required >= 0) {
      if (many) many.add(field.required);
      else seen |= 1 << field.required;
    }
    given?.add(field.index);
    readField(field, tag & 7, out, missing);
  }
  const count = plan.required.length;
  if (many ? many.size < count : seen !== (count === 0 ? 0 : 2 ** count - 1)) {
    for (const field of plan.required) {
      if (many ? many.has(field.required) : (seen & (1 << field.required)) !== 0) continue;
      if (top && mayBeMissing(plan, field.column, out, missing)) continue;
      throw new RowRefused(`Missing required field: ${field.path}`);
    }
  }
  if (!out || !given) return;
  for (let i = 0; i < plan.columns.length; i++) {
    const column = plan.columns[i] as Column;
    if (!given.has(i) && column.defaultValue !== null && missing.wantsDefault(column.key)) {
      out[i] = defaultOf(column, missing.now);
    }
  }
}

/** A required column with a default that is asked for; and a DELETE needs its key alone (that is checked with the key). */
function mayBeMissing(plan: Plan, column: Column, out: Value[] | null, missing: Missing): boolean {
  if (plan.change && out?.[plan.change.type] === 'DELETE') return true;
  return column.defaultValue !== null && missing.wantsDefault(column.key);
}

function readField(field: FieldPlan, wireType: number, out: Value[] | null, missing: Missing): void {
  // Repeated numbers may come packed: one length-delimited field with all of them.
  if (field.repeated && wireType === 2 && field.wire !== 2) {
    const outer = wire.end();
    const length = wire.readSmall();
    const from = wire.skip(length);
    wire.seek(from, from + length);
    while (wire.more()) put(field, readValue(field, out !== null, missing), out);
    wire.seek(from + length, outer);
    return;
  }
  if (wireType !== field.wire) {
    throw new RowRefused(`The wire type ${wireType} of field ${field.path} does not fit the writer schema`);
  }
  put(field, readValue(field, out !== null, missing), out);
}

function put(field: FieldPlan, value: Value | undefined, out: Value[] | null): void {
  if (!out) return;
  if (field.repeated) (out[field.index] as Value[]).push(value as Value);
  else out[field.index] = value as Value;
}

/** Columns whose values cannot be wrong once their wire form is right: skipped when a row is only checked. */
const isFree = (column: Column, type: number): boolean =>
  column.type === 'INT64' || column.type === 'DOUBLE' || (column.type === 'BOOL' && type !== Type.string);

function readValue(field: FieldPlan, wanted: boolean, missing: Missing): Value | undefined {
  if (field.wire === 2) return readDelimited(field, wanted, missing);
  if (!wanted && isFree(field.column, field.type)) {
    if (field.wire === 0) wire.skipVarint();
    else wire.skip(field.wire === 1 ? 8 : 4);
    return undefined;
  }
  if (!wanted && field.type === Type.int64 && field.column.type === 'TIMESTAMP') {
    const from = wire.at();
    // From the year 1 to 9892: no need for the exact value.
    const micros = wire.readApproximately();
    if (micros > -62_000_000_000_000_000 && micros < 250_000_000_000_000_000) return undefined;
    wire.seek(from, wire.end());
  }
  return fromNumber(field, readNumber(field.type));
}

function readNumber(type: number): number | bigint {
  switch (type) {
    case Type.double:
      return wire.readDouble();
    case Type.float:
      return wire.readFloat();
    case Type.fixed32:
      return BigInt(wire.readFixed32());
    case Type.sfixed32:
      return BigInt(wire.readFixed32() | 0);
    case Type.fixed64:
      return wire.readFixed64();
    case Type.sfixed64:
      return BigInt.asIntN(64, wire.readFixed64());
    case Type.uint64:
      return wire.readVarint();
    case Type.uint32:
      return BigInt.asUintN(32, wire.readVarint());
    case Type.int32:
    case Type.enum:
      return BigInt.asIntN(32, wire.readVarint());
    case Type.sint32:
    case Type.sint64: {
      const value = wire.readVarint();
      return (value >> 1n) ^ -(value & 1n);
    }
    default:
      return BigInt.asIntN(64, wire.readVarint());
  }
}

function refuse(field: FieldPlan, what: string): never {
  throw new RowRefused(`${what}; in writing field ${field.path}`);
}

function fromNumber(field: FieldPlan, raw: number | bigint): Value {
  const { column } = field;
  switch (column.type) {
    case 'INT64':
    case 'DOUBLE':
      return raw;
    case 'BOOL':
      return raw !== 0n;
    case 'STRING':
      return field.enumNames?.get(Number(raw)) ?? refuse(field, `The enum has no value ${raw}`);
    case 'DATE':
      if (raw < MIN_DATE || raw > MAX_DATE)
        refuse(field, `Invalid date value ${raw}. The range of valid date values is [0001-01-01, 9999-12-31]`);
      return Number(raw);
    case 'TIMESTAMP':
      return (
        inRange(raw as bigint) ??
        refuse(
          field,
          `Cannot return an invalid timestamp value of ${raw} microseconds relative to the Unix epoch. The range of valid timestamp values is [0001-01-01 00:00:00, 9999-12-31 23:59:59.999999]`,
        )
      );
    case 'TIME':
      return unpackTime(raw as bigint) ?? refuse(field, `Invalid packed time value ${raw}`);
    case 'DATETIME':
      return unpackDatetime(raw as bigint) ?? refuse(field, `Invalid packed datetime value ${raw}`);
    case 'NUMERIC':
    case 'BIGNUMERIC': {
      const big = column.type === 'BIGNUMERIC';
      return decimal(field, typeof raw === 'bigint' ? fromInteger(raw, big) : fromDouble(raw, big), raw);
    }
    case 'BYTES':
    case 'GEOGRAPHY':
    case 'JSON':
    case 'STRUCT':
      throw new Error(`no number for ${column.type}`);
  }
}

function decimal(field: FieldPlan, scaled: Value, raw: string | number | bigint): bigint {
  const { type, precision, scale } = field.column;
  if (typeof scaled !== 'bigint') return refuse(field, `Invalid ${type} value: ${raw}`);
  return keeps(scaled, precision, scale, type === 'BIGNUMERIC')
    ? scaled
    : refuse(field, `${type}(${precision}, ${scale ?? 0}) has no room for the value ${raw}`);
}

function readDelimited(field: FieldPlan, wanted: boolean, missing: Missing): Value | undefined {
  const length = wire.readSmall();
  const from = wire.skip(length);
  const to = from + length;
  if (field.nested || field.wrapper) {
    const outer = wire.end();
    wire.seek(from, to);
    let value: Value | undefined;
    if (field.nested) {
      const struct: Value[] | null = wanted ? [] : null;
      readMessage(field.nested, struct, missing, false);
      value = struct ? { struct } : undefined;
    } else value = field.wrapper === 'timestamp' ? readTimestamp(field) : readWrapped(field);
    wire.seek(to, outer);
    return value;
  }
  return field.type === Type.bytes ? fromByteField(field, from, to, wanted) : fromStringField(field, from, to, wanted);
}

function fromByteField(field: FieldPlan, from: number, to: number, wanted: boolean): Value | undefined {
  const { type, maxLength } = field.column;
  if (type === 'BYTES') {
    if (maxLength !== null && to - from > maxLength) tooLong(field, to - from);
    return wanted ? wire.slice(from, to) : undefined;
  }
  const bytes = wire.slice(from, to);
  return decimal(field, fromBytes(bytes, type === 'BIGNUMERIC'), `0x${bytes.toString('hex')}`);
}

function fromStringField(field: FieldPlan, from: number, to: number, wanted: boolean): Value | undefined {
  const { column } = field;
  if (!wire.isAscii(from, to) && !isUtf8(wire.slice(from, to))) refuse(field, 'The string is not valid UTF-8');
  const plain = column.type === 'STRING' || column.type === 'BYTES';
  if (plain && !wanted && column.maxLength === null) return undefined;
  const text = wire.slice(from, to).toString('utf8');
  if (plain) {
    const length = column.type === 'STRING' ? Array.from(text).length : to - from;
    if (column.maxLength !== null && length > column.maxLength) tooLong(field, length);
    return column.type === 'STRING' ? text : wire.slice(from, to);
  }
  const value = fromText(column, text);
  if (column.type === 'NUMERIC' || column.type === 'BIGNUMERIC') return decimal(field, value, text);
  return value ?? refuse(field, `Invalid ${column.type} value: ${text}`);
}

function tooLong(field: FieldPlan, length: number): never {
  const { type, maxLength } = field.column;
  throw new RowRefused(
    `Field ${field.path}: ${type}(${maxLength}) has maximum length ${maxLength} but got a value with length ${length}`,
  );
}

/** google.protobuf.Int64Value and its like: an empty message is the zero value. */
function readWrapped(field: FieldPlan): Value {
  let value: Value = null;
  while (wire.more()) {
    const tag = wire.readSmall();
    if (tag >>> 3 !== 1) throw new RowRefused(`The wrapper of field ${field.path} has an unknown field ${tag >>> 3}`);
    if ((tag & 7) === 2) {
      const length = wire.readSmall();
      const from = wire.skip(length);
      value = (
        field.type === Type.bytes
          ? fromByteField(field, from, from + length, true)
          : fromStringField(field, from, from + length, true)
      ) as Value;
    } else value = fromNumber(field, readNumber(field.type));
  }
  if (value !== null) return value;
  if (field.type === Type.string) return fromStringField(field, 0, 0, true) as Value;
  if (field.type === Type.bytes) return fromByteField(field, 0, 0, true) as Value;
  return fromNumber(field, field.type === Type.double || field.type === Type.float ? 0 : 0n);
}

/** google.protobuf.Timestamp: seconds = 1, nanos = 2; below a microsecond it is cut off. */
function readTimestamp(field: FieldPlan): Value {
  let seconds = 0n;
  let nanos = 0n;
  while (wire.more()) {
    const tag = wire.readSmall();
    if (tag === 8) seconds = BigInt.asIntN(64, wire.readVarint());
    else if (tag === 16) nanos = BigInt.asIntN(32, wire.readVarint());
    else throw new RowRefused(`The timestamp of field ${field.path} has an unknown field ${tag >>> 3}`);
  }
  return inRange(seconds * 1_000_000n + nanos / 1000n) ?? refuse(field, `Invalid timestamp of ${seconds} seconds`);
}
