import { bodySize, readBody, writeBody } from '../../core/engine/records.ts';
import { type Failure, OUTPUT_BYTES_PER_RECORD, OUTPUT_FACTOR } from '../abi/guest.ts';
import { type Accepted, type Entry, type FrameHelper, type Table, VERDICT } from './frame-helper/frame-helper.ts';
import type { ChainStepMessage, StepMemory } from './messages.ts';
import type { StepCounts } from './sandbox.ts';
import type { Span, StepInput } from './span.ts';

const ERROR_HEADER = 'millstream.error';

/** A record that its step could not process. */
export interface FailedRecord extends Failure {
  /** Index into the step's input. */
  index: number;
}

/** The policy says stop at this source record. */
export class Stop {
  readonly step: string;
  readonly origin: number;
  readonly offset: number;
  readonly failure: Failure;
  constructor(step: string, origin: number, offset: number, failure: Failure) {
    this.step = step;
    this.origin = origin;
    this.offset = offset;
    this.failure = failure;
  }
}

/** A timer that its step could not process: `entry` stands for it. */
export interface FailedTimer {
  entry: Entry;
  failure: Failure;
}

/** Where a step's records go. */
export interface Destination {
  next: Table;
  left: Table;
  last: boolean;
  routes: number;
}

/** One task's outcome in one step: what the policy makes of each record, and the counts. */
export class Verdicts {
  readonly counts: StepCounts = { in: 0, emitted: 0, dropped: 0, passed: 0, dead: 0, out: 0, nanoseconds: 0 };
  /** In record order, those that the policy passed or dropped included. */
  readonly failed: FailedRecord[] = [];
  readonly failedTimers: FailedTimer[] = [];
  private readonly helper: FrameHelper;
  private readonly input: StepInput;
  private readonly to: Destination;
  private readonly step: ChainStepMessage;
  private readonly memory: StepMemory;
  /** What a record of one call is refused for afterwards has been seen by those behind it: they run alone. */
  private readonly isStateful: boolean;

  constructor(
    helper: FrameHelper,
    input: StepInput,
    to: Destination,
    step: ChainStepMessage,
    memory: StepMemory,
    isStateful = false,
  ) {
    this.isStateful = isStateful;
    this.helper = helper;
    this.input = input;
    this.to = to;
    this.step = step;
    this.memory = memory;
  }

  /**
   * Checks what a call over this span gave and adds it to the outputs. Returns a fault, which leaves everything as it
   * was, or null. Throws Stop when the policy says so.
   */
  take(span: Span, count: number, output: Uint8Array | null, failed: FailedRecord[]): Failure | null {
    const { helper, input, to } = this;
    const { table } = input;
    for (const { index } of failed) helper.setVerdict(table, index, VERDICT.void);
    const copied = output && { at: helper.put(output), length: output.length };
    const range = { table, from: span.from, to: span.to, skip: input.skip };
    const before = { next: to.next.count, left: to.left.count };
    let accepted = helper.accept(copied, range, to.routes, to.last, to.next, to.left);
    if ('fault' in accepted) {
      for (let i = span.from; i < span.to; i++) helper.setVerdict(table, i, VERDICT.none);
      return { code: 'BAD_OUTPUT', reason: accepted.fault };
    }
    const tooLarge = 'tooLarge' in accepted;
    if (tooLarge && this.isStateful && count > 1) {
      for (let i = span.from; i < span.to; i++) helper.setVerdict(table, i, VERDICT.none);
      return { code: 'OUTPUT_TOO_LARGE', reason: 'the module gave too much for a record' };
    }
    if (tooLarge) this.addTooLarge(span, failed);
    const passes = this.step.onError === 'pass' && failed.length > 0;
    const originals = passes ? failed.map(record => this.passOn(record)) : [];
    if (tooLarge || passes) {
      to.next.count = before.next;
      to.left.count = before.left;
      accepted = helper.accept(copied, range, to.routes, to.last, to.next, to.left);
      // Dead letters of later steps keep the bytes as they came.
      for (const { index, body, length } of originals) helper.setBody(table, index, body, length);
    }
    this.count(count, accepted as Accepted);
    this.judge(span, failed);
    return null;
  }

  /** What came of timers: they are no inputs of the step, what they gave is output. */
  addTimers({ counts, failed, input }: Verdicts): void {
    this.counts.out += counts.out;
    for (const { index, code, reason } of failed) {
      this.failedTimers.push({ entry: this.helper.entry(input.table, index), failure: { code, reason } });
    }
  }

  private addTooLarge(span: Span, failed: FailedRecord[]): void {
    for (let index = span.from; index < span.to; index++) {
      const entry = this.helper.entry(this.input.table, index);
      if (entry.verdict !== VERDICT.tooLarge) continue;
      const most = OUTPUT_FACTOR * entry.length + OUTPUT_BYTES_PER_RECORD;
      const reason = `the module gave more than ${most} bytes for a record of ${entry.length}`;
      failed.push({ index, code: 'OUTPUT_TOO_LARGE', reason });
    }
    failed.sort((a, b) => a.index - b.index);
  }

  /** The record goes on as it came, with a header that says why. Returns where its body was. */
  private passOn(failure: FailedRecord): { index: number; body: number; length: number } {
    const { helper } = this;
    const { table } = this.input;
    const entry = helper.entry(table, failure.index);
    const record = readBody(helper.memory, entry.body, entry.body + entry.length);
    const text = Buffer.from(`${failure.code}: ${failure.reason}`);
    const headers = [...record.headers.filter(([key]) => key !== ERROR_HEADER), [ERROR_HEADER, text] as const];
    const bytes = new Uint8Array(bodySize({ ...record, headers }));
    writeBody(bytes, 0, { ...record, headers });
    helper.setBody(table, failure.index, helper.put(bytes), bytes.length);
    helper.setVerdict(table, failure.index, VERDICT.pass);
    return { index: failure.index, body: entry.body, length: entry.length };
  }

  private count(count: number, accepted: Accepted): void {
    const { counts } = this;
    counts.in += count;
    counts.emitted += accepted.emitted;
    counts.dropped += accepted.dropped;
    counts.out += accepted.out;
  }

  private judge(span: Span, failed: readonly FailedRecord[]): void {
    const { memory, step, counts, input } = this;
    let behind = span.from;
    for (const failure of failed) {
      // A record that went well in between ends the row.
      if (input.hasRecords(behind, failure.index)) memory.failuresInARow = 0;
      behind = failure.index + 1;
      memory.failuresInARow++;
      this.stopAt(failure);
      if (step.onError === 'dead_letter') counts.dead++;
      else if (step.onError === 'drop') counts.dropped++;
      else {
        counts.passed++;
        counts.out++;
      }
      this.failed.push(failure);
    }
    if (input.hasRecords(behind, span.to)) memory.failuresInARow = 0;
  }

  private stopAt({ index, code, reason }: FailedRecord): void {
    const { name, onError, maxFailuresInARow } = this.step;
    const row = this.memory.failuresInARow;
    const tooMany = maxFailuresInARow !== null && row >= maxFailuresInARow;
    if (onError !== 'stop' && !tooMany) return;
    const { origin, offset } = this.helper.entry(this.input.table, index);
    const why = onError === 'stop' ? reason : `${row} records in a row failed, the last one: ${reason}`;
    throw new Stop(name, origin, offset, { code, reason: why });
  }
}
