/*
 * The frame helper: a small wasm module of the host's own, with a memory of its own. It turns records sections into the
 * ABI's input frame, checks every length, index, route and varint of a guest's output frame, and lays out the records
 * sections of the finished batches. Everything it is given may be hostile; it never reads outside of the bytes it was
 * told about.
 *
 * All memory is one arena that is emptied before each task. Records are described by entries of 40 bytes:
 *
 *    0  u32  origin      which source record of the task it comes from
 *    4  u32  body        where its body lies
 *    8  u32  length      of the body
 *   12  u32  verdict     in a step's input: 0 none, 1 void, 2 goes on unchanged, 3 output too large; in its output: the route
 *   16  i64  timestamp
 *   24  i64  offset      of the source record
 *   32  u32  tombstone   1: the value is null
 *   36  u32  partition   of the output, when it is spread by key
 */
export const ENTRY_BYTES: usize = 40;

const VOID: u32 = 1;
const TOO_LARGE: u32 = 3;

const INPUT_HEADER: usize = 28;
const INPUT_RECORD: usize = 16;
const OUTPUT_HEADER: usize = 8;

let top: usize = align(__heap_base);

/** Results of the last call, read by the host. */
export let records: u32 = 0;
export let bytes: u32 = 0;
export let nextCount: u32 = 0;
export let leftCount: u32 = 0;
export let emitted: u32 = 0;
export let dropped: u32 = 0;
export let outRecords: u32 = 0;
export let tooLarge: u32 = 0;
export let faultAt: u32 = 0;
export let baseTimestamp: f64 = 0;
export let maxTimestamp: f64 = 0;

function align(value: usize): usize {
  return (value + 15) & ~15;
}

/** Empties the arena. */
export function reset(): void {
  top = align(__heap_base);
}

/** Room for `size` bytes, 16-byte aligned; 0 when there is none. */
export function reserve(size: u32): usize {
  const at = top;
  const end = <u64>at + <u64>size + 16;
  if (end > 0xfff00000) return 0;
  const pages = <i32>((end + 0xffff) >>> 16);
  const have = memory.size();
  if (pages > have) {
    const wanted = max(pages - have, min(have, 256));
    if (memory.grow(wanted) < 0 && memory.grow(pages - have) < 0) return 0;
  }
  top = align(<usize>(at + size));
  return at;
}

export function mark(): usize {
  return top;
}

/** Gives back everything reserved since `to` was marked. */
export function release(to: usize): void {
  top = to;
}

/** Where the last varint ended. */
let at: usize = 0;

/** Reads a zigzag varint of at most 32 bits below `end`; I32.MIN_VALUE when it is damaged. */
function varint(from: usize, end: usize): i32 {
  let value: u32 = 0;
  for (let shift: u32 = 0; shift < 35; shift += 7) {
    if (from >= end) return i32.MIN_VALUE;
    const byte = <u32>load<u8>(from++);
    if (shift == 28 && byte > 0x0f) return i32.MIN_VALUE;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      at = from;
      return (value >>> 1) ^ -(value & 1);
    }
  }
  return i32.MIN_VALUE;
}

let varlongOk: bool = true;

function varlong(from: usize, end: usize): i64 {
  let value: u64 = 0;
  for (let shift: u64 = 0; shift < 70; shift += 7) {
    if (from >= end) break;
    const byte = <u64>load<u8>(from++);
    if (shift == 63 && byte > 1) break;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      at = from;
      return (value >>> 1) ^ -(value & 1);
    }
  }
  varlongOk = false;
  return 0;
}

/** Skips a length and that many bytes; -1 is nothing. Returns where they end, 0 when that is damaged or past `end`. */
function sized(from: usize, end: usize): usize {
  if (from + 2 <= end) {
    // Nearly all lengths take one byte or two.
    const word = <u32>load<u16>(from);
    if ((word & 0x80) == 0) {
      if (word & 1) return (word & 0x7f) == 1 ? from + 1 : 0;
      from += 1 + ((word & 0x7f) >>> 1);
      return from <= end ? from : 0;
    }
    if ((word & 0x8000) == 0) {
      const value = (word & 0x7f) | ((word & 0x7f00) >>> 1);
      if (value & 1) return value == 1 ? from + 2 : 0;
      from += 2 + (value >>> 1);
      return from <= end ? from : 0;
    }
  }
  const length = varint(from, end);
  if (length < -1) return 0;
  if (length <= 0) return at;
  return <usize>length <= end - at ? at + length : 0;
}

/** Checks a body of exactly `length` bytes: 0 damaged, 1 sound, 2 sound with a null value. */
function body(from: usize, length: usize): u32 {
  const end = from + length;
  const value = sized(from, end);
  if (value == 0 || value >= end) return 0;
  const headers = sized(value, end);
  if (headers == 0 || headers >= end) return 0;
  // -1 is the one byte 1, unless somebody takes pains to write it longer.
  const kind: u32 = load<u8>(value) == 1 || (headers - value > 1 && isNull(value, end)) ? 2 : 1;
  if (headers + 1 == end && load<u8>(headers) == 0) return kind;
  return soundHeaders(headers, end) ? kind : 0;
}

function isNull(from: usize, end: usize): bool {
  // The first byte of every longer way to write -1.
  return load<u8>(from) == 0x81 && varint(from, end) == -1;
}

function soundHeaders(from: usize, end: usize): bool {
  const count = varint(from, end);
  if (count < 0) return false;
  let cursor = at;
  // The least that a header takes is two bytes.
  if (<usize>count > (end - cursor) >>> 1) return false;
  for (let i = 0; i < count; i++) {
    // A name is never null.
    if (cursor >= end || load<u8>(cursor) == 1 || isNull(cursor, end)) return false;
    cursor = sized(cursor, end);
    if (cursor == 0) return false;
    cursor = sized(cursor, end);
    if (cursor == 0) return false;
  }
  return cursor == end;
}

/**
 * Lists the records of one decompressed records section, those below offset `from` left out. `appendTime` >= 0 is the
 * timestamp of all of them. Returns how many entries were written, or -1 - index of a damaged record.
 */
export function scan(
  section: usize,
  length: u32,
  count: u32,
  baseOffset: f64,
  baseTime: f64,
  appendTime: f64,
  from: f64,
  table: usize,
  origin: u32,
): i32 {
  const end = section + length;
  const offset0 = <i64>baseOffset;
  const time0 = <i64>baseTime;
  const first = <i64>from;
  let entry = table;
  let cursor = section;
  varlongOk = true;
  for (let i: u32 = 0; i < count; i++) {
    const size = varint(cursor, end);
    if (size < 0 || <usize>size > end - at) return -1 - i;
    const stop = at + size;
    // Behind one byte of attributes, unused.
    const delta = varlong(at + 1, stop);
    const offsetDelta = varint(at, stop);
    if (!varlongOk || offsetDelta < 0) return -1 - i;
    const from = at;
    const kind = body(from, stop - from);
    if (kind == 0) return -1 - i;
    cursor = stop;
    const offset = offset0 + offsetDelta;
    if (offset < first) continue;
    store<u32>(entry, origin++);
    store<u32>(entry, <u32>from, 4);
    store<u32>(entry, <u32>(stop - from), 8);
    store<u32>(entry, 0, 12);
    store<i64>(entry, appendTime >= 0 ? <i64>appendTime : time0 + delta, 16);
    store<i64>(entry, offset, 24);
    store<u32>(entry, kind == 2 ? 1 : 0, 32);
    store<u32>(entry, 0, 36);
    entry += ENTRY_BYTES;
  }
  if (cursor != end) return -1 - count;
  return <i32>((entry - table) / ENTRY_BYTES);
}

/**
 * How far one call may reach: returns the index behind its last entry. `records` and `bytes` say what the frame holds.
 * With `skip`, tombstones are not framed. At least one record, at most `maxRecords` and (behind the first) `maxBytes`.
 */
export function plan(table: usize, from: u32, to: u32, skip: bool, maxRecords: u32, maxBytes: u32): u32 {
  let size: usize = INPUT_HEADER;
  let count: u32 = 0;
  let base: i64 = 0;
  let i = from;
  for (; i < to; i++) {
    const entry = table + <usize>i * ENTRY_BYTES;
    if (skip && load<u32>(entry, 32)) continue;
    const more = INPUT_RECORD + load<u32>(entry, 8);
    const offset = load<i64>(entry, 24);
    if (count == 0) base = offset;
    else if (count >= maxRecords || size + more > maxBytes || offset - base > <i64>u32.MAX_VALUE) break;
    size += more;
    count++;
  }
  records = count;
  bytes = <u32>size;
  return i;
}

/** Writes the input frame of entries `from` to `to`, which `plan` has measured, at `target`. */
export function frame(table: usize, from: u32, to: u32, skip: bool, target: usize, partition: u32): void {
  let base: i64 = 0;
  let out = target + INPUT_HEADER;
  let count: u32 = 0;
  for (let i = from; i < to; i++) {
    const entry = table + <usize>i * ENTRY_BYTES;
    if (skip && load<u32>(entry, 32)) continue;
    const offset = load<i64>(entry, 24);
    const length = load<u32>(entry, 8);
    const time = load<i64>(entry, 16);
    if (count++ == 0) {
      base = offset;
      store<i64>(target, offset, 8);
      store<i64>(target, time, 16);
    }
    store<u32>(out, length);
    store<u32>(out, <u32>(offset - base), 4);
    store<i64>(out, time, 8);
    memory.copy(out + INPUT_RECORD, load<u32>(entry, 4), length);
    out += INPUT_RECORD + length;
  }
  store<u32>(target, 1 | ((<u32>INPUT_HEADER) << 16));
  store<u32>(target, count, 4);
  store<u32>(target, partition, 24);
}

function push(
  table: usize,
  index: u32,
  from: usize,
  route: u32,
  at: usize,
  length: u32,
  time: i64,
  tombstone: u32,
): void {
  const entry = table + <usize>index * ENTRY_BYTES;
  store<u32>(entry, load<u32>(from));
  store<u32>(entry, <u32>at, 4);
  store<u32>(entry, length, 8);
  store<u32>(entry, route, 12);
  store<i64>(entry, time, 16);
  store<i64>(entry, load<i64>(from, 24), 24);
  store<u32>(entry, tombstone, 32);
  store<u32>(entry, 0, 36);
}

/**
 * Checks the guest's output frame for entries `from` to `to` and lists what goes on to the next step in `next`, what
 * leaves the chain in `left` (with `last`, all of it leaves). `size` 0: the guest gave nothing. Entries with a verdict
 * and, with `skip`, tombstones are merged in at their places. Returns 0 or the number of a fault (see frame-helper.ts).
 * When `tooLarge` is not 0, entries were marked so and the call has to be made again.
 */
export function accept(
  output: usize,
  size: u32,
  table: usize,
  from: u32,
  to: u32,
  skip: bool,
  routes: u32,
  last: bool,
  next: usize,
  left: usize,
): i32 {
  nextCount = leftCount = emitted = dropped = outRecords = tooLarge = faultAt = 0;
  const end = output + size;
  let cursor = output;
  let count: u32 = 0;
  if (size > 0) {
    if (size < OUTPUT_HEADER) return 1;
    if (load<u8>(output) != 1) return 2;
    if (load<u8>(output, 1) != 0 || load<u16>(output, 2) != OUTPUT_HEADER) return 3;
    count = load<u32>(output, 4);
    cursor = output + OUTPUT_HEADER;
  }
  let read: u32 = 0;
  // The frame's index of the entry that is looked at, and the index of the output record that is next.
  let index: u32 = 0;
  let inputIndex: u32 = 0;
  let have = false;
  for (let i = from; i < to; i++) {
    const entry = table + <usize>i * ENTRY_BYTES;
    const tombstone = load<u32>(entry, 32);
    const bypass = skip && tombstone != 0;
    const verdict = load<u32>(entry, 12);
    if (bypass || verdict == 2) {
      const time = load<i64>(entry, 16);
      if (last) push(left, leftCount++, entry, 0, load<u32>(entry, 4), load<u32>(entry, 8), time, tombstone);
      else push(next, nextCount++, entry, 0, load<u32>(entry, 4), load<u32>(entry, 8), time, tombstone);
    }
    if (bypass) continue;
    let mine: u32 = 0;
    let used: u64 = 0;
    for (;;) {
      if (!have) {
        if (read == count) break;
        faultAt = read;
        if (end - cursor < 12) return 4;
        inputIndex = load<u32>(cursor);
        if (inputIndex < index) return 6;
        have = true;
      }
      if (inputIndex != index) break;
      const started = cursor;
      const route = <u32>load<u16>(cursor, 4);
      if (route >= routes) return 7;
      const flags = <u32>load<u16>(cursor, 6);
      if (flags > 1) return 8;
      cursor += 8;
      let time = load<i64>(entry, 16);
      if (flags == 1) {
        if (end - cursor < 12) return 4;
        time = load<i64>(cursor);
        if (time < -1 || time > 9007199254740991) return 12;
        cursor += 8;
      }
      const length = load<u32>(cursor);
      cursor += 4;
      if (<usize>length > end - cursor) return 9;
      const kind = body(cursor, length);
      if (kind == 0) return 10;
      if (verdict == 0) {
        if (route == 0 && !last) push(next, nextCount++, entry, 0, cursor, length, time, kind - 1);
        else push(left, leftCount++, entry, route, cursor, length, time, kind - 1);
        mine++;
      }
      cursor += length;
      used += cursor - started;
      read++;
      have = false;
    }
    if (verdict == 0 && used > ((<u64>load<u32>(entry, 8)) << 3) + 1048576) {
      store<u32>(entry, TOO_LARGE, 12);
      tooLarge++;
    }
    if (verdict == 0) {
      if (mine == 0) dropped++;
      else emitted++;
      outRecords += mine;
    }
    index++;
  }
  // What is left over belongs to no record of this call.
  if (have || read != count) {
    faultAt = read;
    return 5;
  }
  if (cursor != end) return 11;
  return 0;
}

/** Merges two lists that are ordered by origin into one at `target`; where both have an origin, `a` comes first. */
export function merge(a: usize, aCount: u32, b: usize, bCount: u32, target: usize): void {
  const aEnd = a + <usize>aCount * ENTRY_BYTES;
  const bEnd = b + <usize>bCount * ENTRY_BYTES;
  while (a < aEnd || b < bEnd) {
    const fromA = b >= bEnd || (a < aEnd && load<u32>(a) <= load<u32>(b));
    memory.copy(target, fromA ? a : b, ENTRY_BYTES);
    if (fromA) a += ENTRY_BYTES;
    else b += ENTRY_BYTES;
    target += ENTRY_BYTES;
  }
}

function sizeOf(value: u64): u32 {
  return value < 0x80 ? 1 : <u32>(70 - clz(value)) / 7;
}

function zigzag(value: i64): u64 {
  return ((<u64>value) << 1) ^ <u64>(value >> 63);
}

function write(target: usize, value: u64): usize {
  while (value >= 0x80) {
    store<u8>(target++, <u8>value | 0x80);
    value >>>= 7;
  }
  store<u8>(target, <u8>value);
  return target + 1;
}

/** Size of the records section that holds the entries of this route and partition; sets `records` and the timestamps. */
export function measure(table: usize, count: u32, route: u32, partition: u32): f64 {
  let total: u64 = 0;
  let n: u32 = 0;
  let base: i64 = 0;
  let most: i64 = 0;
  const end = table + <usize>count * ENTRY_BYTES;
  for (let entry = table; entry < end; entry += ENTRY_BYTES) {
    if (load<u32>(entry, 12) != route || load<u32>(entry, 36) != partition) continue;
    const time = load<i64>(entry, 16);
    if (n == 0) base = most = time;
    else if (time > most) most = time;
    const size = 1 + sizeOf(zigzag(time - base)) + sizeOf((<u64>n) << 1) + load<u32>(entry, 8);
    total += sizeOf((<u64>size) << 1) + size;
    n++;
  }
  records = n;
  baseTimestamp = <f64>base;
  maxTimestamp = <f64>most;
  return <f64>total;
}

/** Writes the section that `measure` has measured. */
export function section(table: usize, count: u32, route: u32, partition: u32, target: usize): void {
  let n: u32 = 0;
  let base: i64 = 0;
  const end = table + <usize>count * ENTRY_BYTES;
  for (let entry = table; entry < end; entry += ENTRY_BYTES) {
    if (load<u32>(entry, 12) != route || load<u32>(entry, 36) != partition) continue;
    const time = load<i64>(entry, 16);
    if (n == 0) base = time;
    const delta = zigzag(time - base);
    const length = load<u32>(entry, 8);
    const size = 1 + sizeOf(delta) + sizeOf((<u64>n) << 1) + length;
    target = write(target, (<u64>size) << 1);
    store<u8>(target++, 0);
    target = write(target, delta);
    target = write(target, (<u64>n) << 1);
    memory.copy(target, load<u32>(entry, 4), length);
    target += length;
    n++;
  }
}

/**
 * Which source record each record of this route and partition comes from, as core/engine/lineage.ts says it: runs of
 * equal steps between their offsets. Returns the size, or -1 when it would be more than `room`.
 */
export function origins(table: usize, count: u32, route: u32, partition: u32, target: usize, room: u32): i32 {
  const start = target;
  const most = target + room;
  let before: i64 = 0;
  let step: i64 = 0;
  let run: u64 = 0;
  const end = table + <usize>count * ENTRY_BYTES;
  for (let entry = table; entry < end; entry += ENTRY_BYTES) {
    if (load<u32>(entry, 12) != route || load<u32>(entry, 36) != partition) continue;
    const offset = load<i64>(entry, 24);
    const next = offset - before;
    before = offset;
    if (run > 0 && next == step) {
      run++;
      continue;
    }
    if (run > 0) target = writeRun(target, step, run);
    // A run takes at most 20 bytes; one more is still to come.
    if (target + 40 > most) return -1;
    step = next;
    run = 1;
  }
  if (run > 0) target = writeRun(target, step, run);
  return <i32>(target - start);
}

function writeRun(target: usize, step: i64, run: u64): usize {
  target = write(target, (zigzag(step) << 1) | (run > 1 ? 1 : 0));
  return run > 1 ? write(target, run) : target;
}

/** How many source records the entries of a list that is ordered by origin come from. */
export function distinct(table: usize, count: u32): u32 {
  let found: u32 = 0;
  let before: u32 = 0;
  const end = table + <usize>count * ENTRY_BYTES;
  for (let entry = table; entry < end; entry += ENTRY_BYTES) {
    const origin = load<u32>(entry);
    if (found == 0 || origin != before) found++;
    before = origin;
  }
  return found;
}
