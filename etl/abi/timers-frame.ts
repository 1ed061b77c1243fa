import { timerName, timerTime } from '../sandbox/state/step-state.ts';

/*
 * Timers that have come, as an input frame (transform.wit, `on-frame`): a record for each, with its time as timestamp and
 * as body its key, no value (zigzag -1) and no headers.
 */

const HEADER_BYTES = 28;
const RECORD_BYTES = 16;
/** Of the key's length, and what stands behind the key. */
const BODY_BYTES = 5 + 2;

/** `timers` as StepState names them. */
export function timersFrame(timers: readonly string[]): Uint8Array {
  const most = timers.reduce((sum, timer) => sum + RECORD_BYTES + BODY_BYTES + timer.length, HEADER_BYTES);
  const frame = Buffer.alloc(most);
  frame.writeUInt8(1, 0);
  frame.writeUInt16LE(HEADER_BYTES, 2);
  frame.writeUInt32LE(timers.length, 4);
  let at = HEADER_BYTES;
  for (const [i, timer] of timers.entries()) {
    const key = timerName(timer);
    const body = at + RECORD_BYTES;
    let end = body;
    let length = key.length * 2;
    for (; length > 0x7f; length >>>= 7) end = frame.writeUInt8((length & 0x7f) | 0x80, end);
    end = frame.writeUInt8(length, end);
    end += frame.write(key, end, 'latin1');
    end = frame.writeUInt8(1, end);
    end = frame.writeUInt8(0, end);
    frame.writeUInt32LE(end - body, at);
    frame.writeUInt32LE(i, at + 4);
    frame.writeBigInt64LE(BigInt(timerTime(timer)), at + 8);
    at = end;
  }
  return frame.subarray(0, at);
}
