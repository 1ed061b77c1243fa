import { Bytes } from './bytes';
import { record } from './module';

/*
 * What a step keeps for a partition: keys of 1 to 1,024 bytes, values of up to 256 KiB, all of it up to the step's
 * `limits.state`. It is committed together with the outputs; what a record has written is taken back when the record
 * fails. The host's functions are described in etl/abi/state-imports.ts.
 */

// @ts-ignore: decorator
@external('millstream', 'state_get')
declare function hostGet(key: usize, keyLength: i32, out: usize, room: i32): i32;
// @ts-ignore: decorator
@external('millstream', 'state_put')
declare function hostPut(key: usize, keyLength: i32, value: usize, length: i32): i32;
// @ts-ignore: decorator
@external('millstream', 'state_delete')
declare function hostDelete(key: usize, keyLength: i32): i32;
// @ts-ignore: decorator
@external('millstream', 'state_scan')
declare function hostScan(
  prefix: usize,
  prefixLength: i32,
  after: usize,
  afterLength: i32,
  out: usize,
  room: i32,
): i32;

const GET_ROOM: i32 = 256;
const SCAN_ROOM: i32 = 16384;

/** The value, valid until the record has been handled; `isNull` when there is none. */
export function get(key: string): Bytes {
  return getBytes(Bytes.of(key));
}

export function getBytes(key: Bytes): Bytes {
  let out = heap.alloc(GET_ROOM);
  const length = hostGet(key.ptr, key.length, out, GET_ROOM);
  if (length > GET_ROOM) {
    out = heap.alloc(length);
    hostGet(key.ptr, key.length, out, length);
  }
  return new Bytes(out, length);
}

/** Keeps a value. When the host refuses (a limit), the record fails with the reason, and false is returned: return from
 * `transform` then. */
export function put(key: string, value: string): bool {
  return putBytes(Bytes.of(key), Bytes.of(value));
}

export function putBytes(key: Bytes, value: Bytes): bool {
  const refusal = tryPut(key, value);
  if (refusal == 0) return true;
  if (refusal == -1) record.fail('STATE_KEY_TOO_LONG', 'a key of state has 1 to 1024 bytes, this one ' + key.length.toString());
  else if (refusal == -2)
    record.fail('STATE_VALUE_TOO_LONG', 'a value of state has at most 262144 bytes, this one ' + value.length.toString());
  else record.fail('STATE_FULL', 'the step keeps as much for this partition as its limits.state allows');
  return false;
}

/** As `putBytes`, for modules that have an answer to a refusal themselves: 0 = kept; -1 the key's length, -2 the value's
 * length, -3 the step's limit. */
export function tryPut(key: Bytes, value: Bytes): i32 {
  return hostPut(key.ptr, key.length, value.ptr, value.length);
}

/** false: there was none. */
export function remove(key: string): bool {
  return removeBytes(Bytes.of(key));
}

export function removeBytes(key: Bytes): bool {
  return hostDelete(key.ptr, key.length) == 1;
}

/** A whole number, kept as eight bytes, little endian; `orElse` when there is none. */
export function getNumber(key: string, orElse: i64 = 0): i64 {
  const value = getBytes(Bytes.of(key));
  return value.length == 8 ? load<i64>(value.ptr) : orElse;
}

export function putNumber(key: string, value: i64): bool {
  const ptr = heap.alloc(8);
  store<i64>(ptr, value);
  return putBytes(Bytes.of(key), new Bytes(ptr, 8));
}

/** Counts: adds to the number and returns what it is now. */
export function add(key: string, by: i64 = 1): i64 {
  const value = getNumber(key) + by;
  putNumber(key, value);
  return value;
}

/** Walks the entries whose keys begin with a prefix, in byte order of their keys. */
export function scan(prefix: string): Scan {
  return new Scan(Bytes.of(prefix));
}

/** `for (const s = state.scan('a/'); s.next(); ) …`; key and value are valid until `next` is called again. Entries that are
 * written meanwhile may be seen or not. */
@final
export class Scan {
  readonly key: Bytes = new Bytes();
  readonly value: Bytes = new Bytes();
  private buffer: usize;
  private room: i32 = SCAN_ROOM;
  private at: usize = 0;
  private end: usize = 0;

  constructor(private prefix: Bytes) {
    this.buffer = heap.alloc(SCAN_ROOM);
  }

  next(): bool {
    if (this.at == this.end && !this.more()) return false;
    const keyLength = load<i32>(this.at);
    this.key.ptr = this.at + 4;
    this.key.length = keyLength;
    const value = this.at + 4 + keyLength;
    this.value.length = load<i32>(value);
    this.value.ptr = value + 4;
    this.at = value + 4 + this.value.length;
    return true;
  }

  private more(): bool {
    let size = this.ask();
    if (size < 0) {
      // The next entry is larger than the buffer; the key that it comes behind lies in the old one.
      this.room = -size;
      this.buffer = heap.alloc(this.room);
      size = this.ask();
    }
    this.at = this.buffer;
    this.end = this.buffer + size;
    return size > 0;
  }

  private ask(): i32 {
    return hostScan(this.prefix.ptr, this.prefix.length, this.key.ptr, this.key.length, this.buffer, this.room);
  }
}
