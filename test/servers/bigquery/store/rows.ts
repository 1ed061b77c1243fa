/**
 * The rows of a table or stream, in the order in which they came. Proto rows are kept as the bytes that were sent and
 * read again when somebody asks; with `count` nothing is kept but sums, so that a benchmark's memory stays bounded.
 */
import { crc32 } from 'node:zlib';
import type { Column, Value } from '../model/schema.ts';
import type { Plan } from '../proto/plan.ts';
import { type Missing, readRow } from '../proto/read.ts';

/** Rows of one request: all with the same columns. */
export interface Chunk {
  readonly count: number;
  readonly bytes: number;
  readonly columns: readonly Column[];
  read(index: number): readonly Value[];
  /** The sum of the rows' CRC-32, so that the order does not matter. */
  checksum(): number;
  slice(from: number, to: number): Chunk;
}

export function jsonChunk(columns: readonly Column[], rows: readonly (readonly Value[])[], bytes: number): Chunk {
  return {
    count: rows.length,
    bytes,
    columns,
    read: index => rows[index] as readonly Value[],
    checksum() {
      // Flat rows, which benchmarks have, without the detour over JSON.
      const flat = !columns.some(column => column.type === 'STRUCT');
      const text = (row: readonly Value[]): string =>
        flat ? (row as readonly (string | number | bigint)[]).join('\u001f') : JSON.stringify(row, printable);
      return rows.reduce((sum, row) => sum + crc32(text(row)), 0);
    },
    slice: (from, to) => jsonChunk(columns, rows.slice(from, to), Math.round((bytes * (to - from)) / rows.length)),
  };
}

const printable = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

/** @param rows all of them parts of one buffer */
export function protoChunk(plan: Plan, rows: readonly Uint8Array[], missing: Missing): Chunk {
  const base = new Uint8Array(rows[0]?.buffer ?? new ArrayBuffer(0));
  const ranges = new Uint32Array(rows.length * 2);
  let bytes = 0;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as Uint8Array;
    ranges[2 * i] = row.byteOffset;
    ranges[2 * i + 1] = row.byteOffset + row.length;
    bytes += row.length;
  }
  return rangeChunk(plan, base, ranges, bytes, missing);
}

function rangeChunk(plan: Plan, base: Uint8Array, ranges: Uint32Array, bytes: number, missing: Missing): Chunk {
  const [from, to] = [(i: number) => ranges[2 * i] ?? 0, (i: number) => ranges[2 * i + 1] ?? 0];
  const count = ranges.length / 2;
  return {
    count,
    bytes,
    columns: plan.columns,
    read: index => readRow(plan, base, from(index), to(index), [] as Value[], missing),
    checksum() {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += crc32(base.subarray(from(i), to(i)));
      return sum;
    },
    slice: (start, end) =>
      rangeChunk(plan, base, ranges.slice(2 * start, 2 * end), Math.round((bytes * (end - start)) / count), missing),
  };
}

/** What a table has taken in, whether it keeps the rows or not. */
export interface Totals {
  rows: number;
  bytes: number;
  /** Sum of the CRC-32 of each row's bytes as they were sent, modulo 2^48. */
  checksum: number;
}

export class RowLog {
  readonly totals: Totals = { rows: 0, bytes: 0, checksum: 0 };
  readonly chunks: Chunk[] = [];
  private readonly keep: boolean;

  constructor(keep: boolean) {
    this.keep = keep;
  }

  add(chunk: Chunk): void {
    if (chunk.count === 0) return;
    this.totals.rows += chunk.count;
    this.totals.bytes += chunk.bytes;
    if (this.keep) this.chunks.push(chunk);
    else this.totals.checksum = (this.totals.checksum + chunk.checksum()) % 2 ** 48;
  }
}
