import { writeBody, bodySize, readBody } from '../../core/engine/records.ts';
import { CAPABILITY, CoreGuest, explainFault, type Failure, GuestFault } from '../abi/core.ts';
import { CELL, PHASE } from './cell.ts';
import { initFailed } from './errors.ts';
import { type Accepted, type FrameHelper, type Table, VERDICT } from './frame-helper/frame-helper.ts';
import { type Blame, type ChainStepMessage, MODE, type StepMemory } from './messages.ts';
import type { StepCounts } from './sandbox.ts';

/** One call holds at most this much (DESIGN 3); a single record may be bigger. */
const CALL_RECORDS = 1000;
const CALL_BYTES = 1024 * 1024;
/** What a call may give back: this much for each byte, and this much for each record. */
const OUTPUT_FACTOR = 8;
const OUTPUT_BYTES_PER_RECORD = 1024 * 1024;
export const ERROR_HEADER = 'millstream.error';

/** The policy says stop at this source record. */
export class Stop {
  readonly origin: number;
  readonly offset: number;
  readonly step: string;
  readonly failure: Failure;
  constructor(step: string, origin: number, offset: number, failure: Failure) {
    this.step = step;
    this.origin = origin;
    this.offset = offset;
    this.failure = failure;
  }
}

/** A record that its step could not process. */
export interface FailedRecord extends Failure {
  /** Index into the step's input. */
  index: number;
}

export interface StepRun {
  input: Table;
  next: Table;
  left: Table;
  last: boolean;
  routes: number;
  partition: number;
  blame: Blame;
}

export interface StepResult {
  counts: StepCounts;
  /** In record order, those that the policy passed or dropped included. */
  failed: FailedRecord[];
}

/** Entries `from` to `to` of the step's input. */
interface Span {
  from: number;
  to: number;
  /** How many records the step was given before these. */
  first: number;
  /** One record a call. */
  single: boolean;
  /** The one record of this span is run in a fresh instance; if it fails, it is at fault. */
  alone: boolean;
}

type Outcome = { output: Uint8Array | null } | { fault: Failure; record: number };

/**
 * One step of one lane: keeps its instance and hands it records. Whatever goes wrong costs the record that is at fault
 * and no other: a failed call leaves nothing behind, the records before the suspect are run again in a fresh instance,
 * the suspect is run alone, and only when it fails alone too is it at fault.
 */
export class StepRunner {
  readonly step: ChainStepMessage;
  readonly memory: StepMemory;
  private readonly index: number;
  private readonly shared: { helper: FrameHelper; cell: Int32Array };
  private readonly cell: Int32Array;
  private readonly log: (level: number, line: string) => void;
  private guest: CoreGuest | null = null;
  /** The guest has not been given a record yet. */
  private fresh = false;
  /** Log lines of the call under way: they count only when the call does. */
  private lines: [level: number, line: string][] = [];
  /** Tombstones go around the module. */
  private skip = false;
  private run!: StepRun;
  private result!: StepResult;

  constructor(
    index: number,
    step: ChainStepMessage,
    memory: StepMemory,
    shared: { helper: FrameHelper; cell: Int32Array },
    log: (level: number, line: string) => void,
  ) {
    this.index = index;
    this.step = step;
    this.memory = { ...memory };
    this.shared = shared;
    this.cell = shared.cell;
    this.log = log;
  }

  /** The worker may replace it between two tasks. */
  private get helper(): FrameHelper {
    return this.shared.helper;
  }

  /** Instantiates the module if it is not; kind `invalid`, code MODULE_INIT_FAILED when it refuses. */
  start(): CoreGuest {
    if (this.guest) return this.guest;
    const { cell } = this;
    cell[CELL.step] = this.index;
    this.lines = [];
    try {
      const host = { cell, log: (level: number, line: string) => void this.lines.push([level, line]) };
      this.guest = new CoreGuest(this.step.module, host, this.step.init);
    } catch (error) {
      throw initFailed(this.step.name, error instanceof Error ? error.message : String(error), error);
    } finally {
      cell[CELL.phase] = PHASE.host;
    }
    this.keepLines();
    this.fresh = true;
    return this.guest;
  }

  /** Runs the step over all of its input. Throws Stop when the policy says so. */
  process(run: StepRun): StepResult {
    const { memory } = this;
    this.run = run;
    this.result = {
      counts: { in: 0, emitted: 0, dropped: 0, passed: 0, dead: 0, out: 0, nanoseconds: 0 },
      failed: [],
    };
    memory.mode = Math.max(memory.mode, run.blame.modes[this.index] ?? MODE.frames);
    this.skip = (this.start().capabilities & CAPABILITY.tombstones) === 0;
    const whole = { from: 0, to: run.input.count, first: 0, single: false, alone: false };
    if (whole.to > 0) this.runSpans(whole);
    return this.result;
  }

  private runSpans(whole: Span): void {
    const { skip } = this;
    const { input } = this.run;
    const { raw } = this.helper;
    const work: Span[] = [whole];
    for (let span = work.pop(); span; span = work.pop()) {
      const single = span.single || this.memory.mode !== MODE.frames;
      const to = raw.plan(input.at, span.from, span.to, skip, single ? 1 : CALL_RECORDS, CALL_BYTES);
      const count = raw.records.value;
      const bytes = raw.bytes.value;
      if (to < span.to) work.push({ ...span, from: to, first: span.first + count, alone: false });
      const part: Span = { ...span, to };
      const marked = this.firstMarked(part.first, count);
      if (count > 1 && marked !== null) {
        work.push(...this.around(part, marked - part.first).toReversed());
        continue;
      }
      const condemned = this.condemned(part, count);
      if (count === 0 || condemned) {
        this.take(part, count, null, condemned);
        continue;
      }
      const alone = part.alone || marked !== null;
      const outcome = this.call(part, count, bytes, alone);
      const fault = 'fault' in outcome ? outcome : this.take(part, count, outcome.output, null);
      if (!fault) {
        // It failed with others and not alone: where the module says it is is not to be trusted.
        if (part.alone) for (const rest of work) rest.single = true;
        continue;
      }
      const wasFresh = this.fresh;
      this.guest = null;
      if (count === 1) {
        if (alone || wasFresh) this.take(part, 1, null, fault.fault);
        else work.push({ ...part, alone: true });
      } else if (fault.record >= 0 && fault.record < count) {
        work.push(...this.around(part, fault.record, true).toReversed());
      } else {
        work.push({ ...part, single: true });
      }
    }
  }

  /** The first place in this range that earlier attempts have marked. */
  private firstMarked(first: number, count: number): number | null {
    const { suspects, condemned } = this.run.blame;
    if (suspects.length === 0 && condemned.length === 0) return null;
    let found: number | null = null;
    for (const place of [...suspects, ...condemned]) {
      if (place.step !== this.index || place.ordinal < first || place.ordinal >= first + count) continue;
      if (found === null || place.ordinal < found) found = place.ordinal;
    }
    return found;
  }

  private condemned(span: Span, count: number): Failure | null {
    if (count !== 1 || this.run.blame.condemned.length === 0) return null;
    const origin = this.helper.originOf(this.run.input, this.nth(span.from, 0));
    return (
      this.run.blame.condemned.find(c => c.step === this.index && c.ordinal === span.first && c.origin === origin) ??
      null
    );
  }

  /** A span in three: what is before its n-th record, that record, and what is behind it. */
  private around(span: Span, n: number, alone = false): Span[] {
    const at = this.nth(span.from, n);
    const parts: Span[] = [
      { ...span, to: at, alone: false },
      { ...span, from: at, to: at + 1, first: span.first + n, alone },
      { ...span, from: at + 1, first: span.first + n + 1, alone: false },
    ];
    return parts.filter(part => part.from < part.to);
  }

  /** Index of the n-th record at or behind `from` that the guest is given. */
  private nth(from: number, n: number): number {
    if (!this.skip) return from + n;
    for (let i = from; ; i++) {
      if (!this.helper.isTombstone(this.run.input, i) && n-- === 0) return i;
    }
  }

  private call(span: Span, count: number, bytes: number, alone: boolean): Outcome {
    const { helper, cell, run } = this;
    if ((alone || this.memory.mode === MODE.fresh) && !this.fresh) this.guest = null;
    const guest = this.start();
    const memoryBefore = guest.memoryBytes;
    this.lines = [];
    const mark = helper.raw.mark();
    const at = helper.reserve(bytes);
    helper.raw.frame(run.input.at, span.from, span.to, this.skip, at, run.partition);
    cell[CELL.step] = this.index;
    cell[CELL.call] = (cell[CELL.call] as number) + 1;
    cell[CELL.record] = count === 1 ? 0 : -1;
    cell[CELL.count] = count;
    cell[CELL.first] = span.first;
    cell[CELL.origin] = helper.originOf(run.input, this.nth(span.from, 0));
    cell[CELL.phase] = alone ? PHASE.alone : PHASE.call;
    try {
      const most = OUTPUT_FACTOR * bytes + OUTPUT_BYTES_PER_RECORD * count;
      const output = guest.process(helper.memory.subarray(at, at + bytes), count, most);
      this.fresh = false;
      return { output };
    } catch (error) {
      this.lines = [];
      const record = error instanceof GuestFault ? -1 : (cell[CELL.record] as number);
      // A module that threw says why before it traps.
      const said = guest.failures.get(record);
      const sizes = { before: memoryBefore, now: guest.memoryBytes, limit: this.step.memoryBytes };
      return { fault: said ?? explainFault(error, sizes), record };
    } finally {
      cell[CELL.phase] = PHASE.host;
      helper.raw.release(mark);
    }
  }

  /** Checks what a call gave and adds it to the outputs; a fault leaves everything as it was. */
  private take(
    span: Span,
    count: number,
    output: Uint8Array | null,
    condemned: Failure | null,
  ): { fault: Failure; record: number } | null {
    const { helper, run } = this;
    const { input, next, left } = run;
    const failed = condemned ? [{ index: this.nth(span.from, 0), ...condemned }] : this.failuresOf(span);
    for (const { index } of failed) helper.setVerdict(input, index, VERDICT.void);
    const copied = output && { at: helper.put(output), length: output.length };
    const range = { table: input, from: span.from, to: span.to, skip: this.skip };
    const before = { next: next.count, left: left.count };
    let accepted = helper.accept(copied, range, run.routes, run.last, next, left);
    if ('fault' in accepted) {
      for (let i = span.from; i < span.to; i++) helper.setVerdict(input, i, VERDICT.none);
      return { fault: { code: 'BAD_OUTPUT', reason: accepted.fault }, record: -1 };
    }
    const tooLarge = 'tooLarge' in accepted;
    if (tooLarge) this.addTooLarge(span, failed);
    const passes = this.step.onError === 'pass' && failed.length > 0;
    const originals = passes ? failed.map(record => this.passOn(record)) : [];
    if (tooLarge || passes) {
      next.count = before.next;
      left.count = before.left;
      accepted = helper.accept(copied, range, run.routes, run.last, next, left);
      // Dead letters of later steps keep the bytes as they came.
      for (const { index, body, length } of originals) helper.setBody(input, index, body, length);
    }
    this.count(count, accepted as Accepted);
    this.judge(span, count, failed);
    this.keepLines();
    return null;
  }

  private failuresOf(span: Span): FailedRecord[] {
    const said = this.guest?.failures;
    if (!said || said.size === 0) return [];
    return [...said]
      .toSorted(([a], [b]) => a - b)
      .map(([n, failure]) => ({ index: this.nth(span.from, n), ...failure }));
  }

  private addTooLarge(span: Span, failed: FailedRecord[]): void {
    const { helper, run } = this;
    for (let index = span.from; index < span.to; index++) {
      const entry = helper.entry(run.input, index);
      if (entry.verdict !== VERDICT.tooLarge) continue;
      const most = OUTPUT_FACTOR * entry.length + OUTPUT_BYTES_PER_RECORD;
      const reason = `the module gave more than ${most} bytes for a record of ${entry.length}`;
      failed.push({ index, code: 'OUTPUT_TOO_LARGE', reason });
    }
    failed.sort((a, b) => a.index - b.index);
  }

  /** The record goes on as it came, with a header that says why. Returns where its body was. */
  private passOn(failure: FailedRecord): { index: number; body: number; length: number } {
    const { helper, run } = this;
    const entry = helper.entry(run.input, failure.index);
    const record = readBody(helper.memory, entry.body, entry.body + entry.length);
    const text = Buffer.from(`${failure.code}: ${failure.reason}`);
    const headers = [...record.headers.filter(([key]) => key !== ERROR_HEADER), [ERROR_HEADER, text] as const];
    const bytes = new Uint8Array(bodySize({ ...record, headers }));
    writeBody(bytes, 0, { ...record, headers });
    helper.setBody(run.input, failure.index, helper.put(bytes), bytes.length);
    helper.setVerdict(run.input, failure.index, VERDICT.pass);
    return { index: failure.index, body: entry.body, length: entry.length };
  }

  private count(count: number, accepted: Accepted): void {
    const { counts } = this.result;
    counts.in += count;
    counts.emitted += accepted.emitted;
    counts.dropped += accepted.dropped;
    counts.out += accepted.out;
  }

  /** What the policy makes of the failures of one call; throws Stop. */
  private judge(span: Span, count: number, failed: readonly FailedRecord[]): void {
    const { memory, step, helper, run } = this;
    const { counts } = this.result;
    let behind = span.from;
    for (const failure of failed) {
      // A record that went well in between ends the row.
      const index = failure.index;
      if (this.hasRecords(behind, index)) memory.failuresInARow = 0;
      behind = index + 1;
      memory.failuresInARow++;
      const tooMany = step.maxFailuresInARow !== null && memory.failuresInARow >= step.maxFailuresInARow;
      if (step.onError === 'stop' || tooMany) {
        const { origin, offset } = helper.entry(run.input, index);
        throw new Stop(step.name, origin, offset, stopReason(failure, step.onError === 'stop' ? null : memory));
      }
      if (step.onError === 'dead_letter') counts.dead++;
      else if (step.onError === 'drop') counts.dropped++;
      else {
        counts.passed++;
        counts.out++;
      }
      this.result.failed.push(failure);
    }
    if (count > failed.length && this.hasRecords(behind, span.to)) memory.failuresInARow = 0;
  }

  private hasRecords(from: number, to: number): boolean {
    for (let i = from; i < to; i++) if (!this.skip || !this.helper.isTombstone(this.run.input, i)) return true;
    return false;
  }

  private keepLines(): void {
    for (const [level, line] of this.lines) this.log(level, line);
    this.lines = [];
  }
}

function stopReason(failure: Failure, memory: StepMemory | null): Failure {
  if (!memory) return { code: failure.code, reason: failure.reason };
  return {
    code: failure.code,
    reason: `${memory.failuresInARow} records in a row failed, the last one: ${failure.reason}`,
  };
}
