import { type Cursor, readVarint, varintSize, writeVarint } from '../../core/base/varint.ts';
import { partsOf } from './fluvio-codec.ts';
import type { InputFrame, OutputFrame } from './frames.ts';
import { GuestFault } from './guest.ts';
import type { GuestMemory } from './guest-memory.ts';

/*
 * The records of the world `record-transform` (transform.wit) as the canonical ABI lays them out (Component Model,
 * CanonicalABI.md, "Flattening" and "Storing"), little endian:
 *
 *   on-record(key?, ptr, length, value?, ptr, length, headers ptr, count, timestamp s64, offset s64) -> at
 *   at:       u8 0: ok;       [4] u32 ptr, [8] u32 count of outgoing
 *             u8 1: failure;  [4] u32 ptr, [8] u32 length of the code, [12] u32 ptr, [16] u32 length of the reason
 *   header:   20 bytes: [0] u32 ptr, [4] u32 length of the name, [8] u8 some, [12] u32 ptr, [16] u32 length of the value
 *   outgoing: 64 bytes: [0] u8 some, [4] u32 ptr, [8] u32 length of the key, [12] the same of the value,
 *             [24] u32 ptr, [28] u32 count of headers, [32] u8 some, [40] s64 timestamp,
 *             [48] u8 some, [52] u32 ptr, [56] u32 length of the output's name
 *
 * Each list that is handed over is an allocation of its own, by cabi_realloc, and is the guest's from then on.
 */

const HEADER_BYTES = 20;
const OUTGOING_BYTES = 64;
/** What a record may give has no room for more. */
const MOST_HEADERS = 1 << 20;

export type Realloc = (old: number, oldLength: number, align: number, length: number) => number;
export type OnRecord = (
  ...flat: [number, number, number, number, number, number, number, number, bigint, bigint]
) => number;

/** Hands the record at hand over. Returns where the answer lies. */
export function callWith(record: InputFrame, memory: GuestMemory, realloc: Realloc, onRecord: OnRecord): number {
  const { bytes } = record;
  const give = (from: number, length: number): [some: number, ptr: number, length: number] => {
    if (length < 0) return [0, 0, 0];
    // An empty list lies nowhere, but not at null.
    if (length === 0) return [1, 1, 0];
    const ptr = realloc(0, 0, 1, length) >>> 0;
    memory.at(ptr, length).set(bytes.subarray(from, from + length));
    return [1, ptr, length];
  };
  const { keyFrom, keyLength, valueFrom, valueLength, headersFrom } = partsOf(bytes, record.bodyFrom);
  const key = give(keyFrom, keyLength);
  const value = give(valueFrom, valueLength);
  const at: Cursor = { offset: headersFrom };
  const count = readVarint(bytes, at);
  const headers = count === 0 ? 4 : realloc(0, 0, 4, count * HEADER_BYTES) >>> 0;
  const part = (): [number, number, number] => {
    const length = readVarint(bytes, at);
    const from = at.offset;
    at.offset += Math.max(length, 0);
    return give(from, length);
  };
  for (let n = 0; n < count; n++) {
    const [, name, nameLength] = part();
    const [some, ptr, length] = part();
    const to = memory.check(headers + n * HEADER_BYTES, HEADER_BYTES);
    const { view } = memory;
    [name, nameLength, some, ptr, length].forEach((word, i) => view.setUint32(to + 4 * i, word, true));
  }
  return onRecord(...key, ...value, headers, count, BigInt(record.timestamp), BigInt(record.offset)) >>> 0;
}

/** What an answer says. GuestFault when it lies outside of the memory. */
export function failureAt(memory: GuestMemory, at: number): { code: string; reason: string } | null {
  const from = memory.check(at, 12);
  if (memory.view.getUint8(from) === 0) return null;
  const [code, codeLength, reason, reasonLength] = words(memory, at + 4, 4);
  return {
    code: memory.text(code, Math.min(codeLength, 64)),
    reason: memory.text(reason, Math.min(reasonLength, 1024)),
  };
}

/**
 * Writes what came out as outputs of the record at hand. Returns the name of an output that the pipeline does not have,
 * after which nothing more is written; null: all is well.
 */
export function emitAll(
  memory: GuestMemory,
  at: number,
  output: OutputFrame,
  routeOf: (name: string) => number,
): string | null {
  const [list, count] = words(memory, at + 4, 2);
  memory.check(list, count * OUTGOING_BYTES);
  for (let n = 0; n < count; n++) {
    const from = list + n * OUTGOING_BYTES;
    const { view } = memory;
    const some = (offset: number): boolean => view.getUint8(from + offset) !== 0;
    let route = 0;
    if (some(48)) {
      const [name, length] = words(memory, from + 52, 2);
      const text = memory.text(name, Math.min(length, 1024));
      route = routeOf(text);
      if (route < 0) return text;
    }
    const [headers, headerCount] = words(memory, from + 24, 2);
    const parts: (readonly [ptr: number, length: number])[] = [optional(memory, from), optional(memory, from + 12)];
    if (headerCount > MOST_HEADERS) throw new GuestFault('BAD_OUTPUT', `a record has ${headerCount} headers`);
    for (let h = 0; h < headerCount; h++) {
      const header = headers + h * HEADER_BYTES;
      const [name, nameLength] = words(memory, header, 2);
      parts.push([name, nameLength], optional(memory, header + 8));
    }
    emit(memory, parts, output, route, some(32) ? Number(view.getBigInt64(from + 40, true)) : null);
  }
  return null;
}

/** `parts`: key, value, and name and value of each header; a length of -1 is null. */
function emit(
  memory: GuestMemory,
  parts: readonly (readonly [ptr: number, length: number])[],
  output: OutputFrame,
  route: number,
  timestamp: number | null,
): void {
  const headers = (parts.length - 2) / 2;
  let size = varintSize(headers);
  for (const [, length] of parts) size += varintSize(length) + Math.max(length, 0);
  const { body, at } = output.add(size, route, timestamp);
  let end = at;
  for (const [i, [ptr, length]] of parts.entries()) {
    if (i === 2) end = writeVarint(body, end, headers);
    end = writeVarint(body, end, length);
    if (length <= 0) continue;
    body.set(memory.at(ptr, length), end);
    end += length;
  }
  if (headers === 0) writeVarint(body, end, 0);
}

/** An option of a list of bytes. */
function optional(memory: GuestMemory, at: number): [ptr: number, length: number] {
  const [some, ptr, length] = words(memory, at, 3);
  return (some & 0xff) === 0 ? [0, -1] : [ptr, length];
}

type Words<N extends number> = N extends 2
  ? [number, number]
  : N extends 3
    ? [number, number, number]
    : [number, number, number, number];

function words<N extends 2 | 3 | 4>(memory: GuestMemory, at: number, count: N): Words<N> {
  const from = memory.check(at, count * 4);
  return Array.from({ length: count }, (_, i) => memory.view.getUint32(from + 4 * i, true)) as Words<N>;
}
