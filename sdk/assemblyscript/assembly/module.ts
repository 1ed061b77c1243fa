import { allocateLasting, keep, release } from './arena';
import { failAt, hostProgress, setCurrent } from './host';
import { Json } from './json';
import { Output } from './output';
import { Record } from './record';

/*
 * What the generated entry file drives. Input frame, little endian: u8 version, u8 flags, u16 header length, u32 count,
 * i64 base offset, i64 base timestamp, u32 partition; then per record u32 body length, u32 offset delta, i64 timestamp,
 * body. `transform` runs once for each; `release` gives back what it allocated.
 */
const FRAME_VERSION: u8 = 1;
const RECORD_BYTES: usize = 16;

export const record = new Record();
export const output = new Output();

let inputPtr: usize = 0;
let inputCapacity: usize = 0;
let at: usize = 0;
let index: i32 = -1;
let count: i32 = 0;
let baseOffset: i64 = 0;

/** The input buffer: one, kept between calls, replaced by one of at least twice its size. */
export function allocate(length: usize): usize {
  if (length > inputCapacity) {
    inputCapacity = max(length, inputCapacity * 2);
    inputPtr = allocateLasting(inputCapacity);
  }
  return inputPtr;
}

/** Reads init's JSON and returns `config`; what is allocated from here on stays. */
export function readInit(ptr: usize, length: usize): Json {
  // The input buffer is used again, the configuration lasts.
  const copy = allocateLasting(length);
  memory.copy(copy, ptr, length);
  const init = Json.parse(copy, copy + length);
  if (init === null) return Json.nothing();
  const names: string[] = [];
  const outputs = init.get('outputs').elements();
  for (let i = 0; i < outputs.length; i++) names.push(outputs[i].text());
  if (names.length > 0) output.setNames(names);
  return init.get('config');
}

/** Ends the configuration; 0 = ready. */
export function ready(reason: string | null): i32 {
  keep();
  if (reason === null) return 0;
  failAt(-1, 'INVALID_CONFIG', reason);
  return 1;
}

export function open(ptr: usize, length: usize): void {
  if (load<u8>(ptr) != FRAME_VERSION) throw new Error('input frame of version ' + load<u8>(ptr).toString());
  count = load<i32>(ptr, 4);
  baseOffset = load<i64>(ptr, 8);
  record.partition = load<i32>(ptr, 24);
  at = ptr + load<u16>(ptr, 2);
  index = -1;
  output.open(length + (length >>> 2) + 1024);
}

/** Ends the record before and stands on the next one; false: there is none. */
// @ts-ignore: decorator
@inline
export function next(): bool {
  if (index >= 0) {
    if (record.failed) output.voidRecord();
    release();
  }
  if (++index >= count) return false;
  hostProgress(index);
  setCurrent(index);
  output.openRecord();
  const body = at + RECORD_BYTES;
  const end = body + load<u32>(at);
  record.open(index, baseOffset + load<u32>(at, 4), load<i64>(at, 8), body, end);
  at = end;
  return true;
}

// @ts-ignore: decorator
@external('millstream', 'timer_next')
declare function hostTimerNext(out: usize, room: i32): i32;

/** Room before a timer, so that its key becomes a record body where it lies: time, key. */
const TIMER_AT: usize = 8;
const TIMER_ROOM: i32 = 8 + 1024;
let timerBuffer: usize = 0;

export function openFlush(): void {
  if (timerBuffer == 0) timerBuffer = allocateLasting(TIMER_AT + TIMER_ROOM + 8);
  index = -1;
  output.open(1024);
}

/** Ends the timer before and stands on the next one: a record of its key and its time, without a value. */
export function nextTimer(): bool {
  if (index >= 0) {
    if (record.failed) output.voidRecord();
    release();
  }
  const at = timerBuffer + TIMER_AT;
  const size = hostTimerNext(at, TIMER_ROOM);
  if (size <= 0) return false;
  setCurrent(++index);
  output.openRecord();
  const time = load<i64>(at);
  const length = size - 8;
  // Zigzag varints: the key's length before the key, then no value (-1) and no headers.
  const body = at + 8 - (length < 64 ? 1 : 2);
  if (length < 64) store<u8>(body, <u8>(length << 1));
  else {
    store<u8>(body, <u8>(((length << 1) & 0x7f) | 0x80));
    store<u8>(body, <u8>(length >> 6), 1);
  }
  store<u8>(at + size, 1);
  store<u8>(at + size, 0, 1);
  record.open(index, -1, time, body, at + size + 2);
  return true;
}

export function close(): i64 {
  setCurrent(-1);
  return output.close();
}
