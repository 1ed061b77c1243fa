import { bodySize, writeBody } from '../../../core/engine/records.ts';
import { ENTRY_BYTES, type FrameHelper, type Table } from '../frame-helper/frame-helper.ts';
import type { Span, StepInput } from '../span.ts';
import { type StepState, timerName, timerTime } from './step-state.ts';

/** The timestamps of a span's records, those that go around the module left out. */
export function timesOf(helper: FrameHelper, input: StepInput, span: Span): number[] {
  const times: number[] = [];
  for (let i = span.from; i < span.to; i++) {
    if (input.skip && helper.isTombstone(input.table, i)) continue;
    times.push(helper.timestampOf(input.table, i));
  }
  return times;
}

/** Which record, behind the first, brings the time of the next timer; null: none. */
export function firstDue(times: readonly number[], { nextTimer, time }: StepState): number | null {
  if (nextTimer === Number.POSITIVE_INFINITY) return null;
  let now = time;
  for (const [i, own] of times.entries()) {
    if (own > now) now = own;
    if (i > 0 && now >= nextTimer) return i;
  }
  return null;
}

/** Timers as a step's input: their outputs come from the record that brings the time, and are stamped with the timer's. */
export function timersTable(
  helper: FrameHelper,
  timers: readonly string[],
  { origin, offset }: { origin: number; offset: number },
): Table {
  const table = helper.newTable(timers.length);
  for (const timer of timers) {
    const record = { key: Buffer.from(timerName(timer), 'latin1'), value: null };
    const length = bodySize(record);
    const body = helper.reserve(length);
    writeBody(helper.memory, body, record);
    const { view } = helper;
    const at = table.at + table.count++ * ENTRY_BYTES;
    view.setUint32(at, origin, true);
    view.setUint32(at + 4, body, true);
    view.setUint32(at + 8, length, true);
    view.setUint32(at + 12, 0, true);
    view.setBigInt64(at + 16, BigInt(timerTime(timer)), true);
    view.setBigInt64(at + 24, BigInt(offset), true);
    view.setUint32(at + 32, 0, true);
    view.setUint32(at + 36, 0, true);
  }
  return table;
}
