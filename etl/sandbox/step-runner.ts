import {
  explainFault,
  type Failure,
  type Guest,
  type GuestHost,
  GuestFault,
  InitRefused,
  OUTPUT_BYTES_PER_RECORD,
  OUTPUT_FACTOR,
} from '../abi/guest.ts';
import { openGuest } from '../abi/open-guest.ts';
import { CELL, PHASE } from './cell.ts';
import { initFailed } from './errors.ts';
import type { FrameHelper, Table } from './frame-helper/frame-helper.ts';
import { type Blame, type ChainStepMessage, MODE, type StepMemory } from './messages.ts';
import { type Span, StepInput } from './span.ts';
import { type Destination, type FailedRecord, Verdicts } from './verdicts.ts';

/** One call holds at most this much (DESIGN 3); a single record may be bigger. */
const CALL_RECORDS = 1000;
const CALL_BYTES = 1024 * 1024;
/** More lines of one call are lost: nobody would be shown them anyway. */
const CALL_LOG_LINES = 100;

export interface StepRun extends Destination {
  input: Table;
  partition: number;
  blame: Blame;
}

type Outcome =
  | { output: Uint8Array | null; failed: FailedRecord[] }
  /** `record`: which one of the call, as far as the guest has said; -1: unknown. */
  | { fault: Failure; record: number };

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
  private readonly host: GuestHost;
  private guest: Guest | null = null;
  /** The guest has not been given a record yet. */
  private fresh = false;
  /** Log lines of the call under way: they count only when the call does. */
  private lines: [level: number, line: string][] = [];
  private run!: StepRun;
  private input!: StepInput;
  private verdicts!: Verdicts;

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
    this.host = { cell: shared.cell, log: this.collectLine, memory: this.memory, past: () => [] };
  }

  /** The worker may replace it between two tasks. */
  private get helper(): FrameHelper {
    return this.shared.helper;
  }

  /** Instantiates the module if it is not; kind `invalid`, code MODULE_INIT_FAILED when it refuses. */
  async start(): Promise<Guest> {
    if (this.guest) return this.guest;
    const { cell, step } = this;
    cell[CELL.step] = this.index;
    this.lines = [];
    try {
      this.guest = await openGuest(step.abi, step.module, this.host, step.setup);
    } catch (error) {
      throw this.initFailed(error);
    } finally {
      cell[CELL.phase] = PHASE.host;
    }
    this.keepLines();
    this.fresh = true;
    return this.guest;
  }

  /** The instance is not used again. */
  close(): void {
    this.guest?.close();
    this.guest = null;
  }

  /** Runs the step over all of its input. Throws Stop when the policy says so. */
  async process(run: StepRun): Promise<Verdicts> {
    const { memory } = this;
    this.run = run;
    memory.mode = Math.max(memory.mode, run.blame.modes[this.index] ?? MODE.frames);
    const skip = !(await this.start()).takesTombstones;
    this.input = new StepInput(this.helper, run.input, skip);
    this.verdicts = new Verdicts(this.helper, this.input, run, this.step, memory);
    if (run.input.count > 0) await this.runSpans(this.input.whole);
    return this.verdicts;
  }

  /** Works off a stack of spans, in record order; a span that fails comes back in smaller ones. */
  private async runSpans(whole: Span): Promise<void> {
    const { input, verdicts } = this;
    const { raw } = this.helper;
    const work: Span[] = [whole];
    for (let span = work.pop(); span; span = work.pop()) {
      const single = span.single || this.memory.mode !== MODE.frames;
      const to = raw.plan(input.table.at, span.from, span.to, input.skip, single ? 1 : CALL_RECORDS, CALL_BYTES);
      const count = raw.records.value;
      const bytes = raw.bytes.value;
      if (to < span.to) work.push({ ...span, from: to, first: span.first + count, alone: false });
      const part: Span = { ...span, to };
      const marked = this.firstMarked(part.first, count);
      if (count > 1 && marked !== null) {
        work.push(...input.around(part, marked - part.first, false));
        continue;
      }
      const condemned = this.condemned(part, count);
      if (count === 0 || condemned) {
        verdicts.take(part, count, null, condemned ? [condemned] : []);
        continue;
      }
      const alone = part.alone || marked !== null;
      const fault = await this.call(part, count, bytes, alone);
      if (!fault) {
        // It failed with others and not alone: where the module says it is is not to be trusted.
        if (part.alone) for (const rest of work) rest.single = true;
        continue;
      }
      const wasFresh = this.fresh;
      this.close();
      if (count === 1) {
        if (!alone && !wasFresh) work.push({ ...part, alone: true });
        else verdicts.take(part, 1, null, [{ index: input.nth(part.from, 0), ...fault.failure }]);
      } else if (fault.record >= 0 && fault.record < count) {
        work.push(...input.around(part, fault.record, true));
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

  /** What earlier attempts have found out about the one record of this span. */
  private condemned(span: Span, count: number): FailedRecord | null {
    if (count !== 1 || this.run.blame.condemned.length === 0) return null;
    const origin = this.input.originOf(span);
    const found = this.run.blame.condemned.find(
      each => each.step === this.index && each.ordinal === span.first && each.origin === origin,
    );
    return found ? { index: this.input.nth(span.from, 0), code: found.code, reason: found.reason } : null;
  }

  /** Runs one call and takes what it gave; a fault leaves nothing behind. */
  private async call(
    span: Span,
    count: number,
    bytes: number,
    alone: boolean,
  ): Promise<{ failure: Failure; record: number } | null> {
    const { kept } = this.memory;
    const outcome = await this.enterGuest(span, count, bytes, alone);
    const failure =
      'fault' in outcome ? outcome.fault : this.verdicts.take(span, count, outcome.output, outcome.failed);
    if (!failure) {
      this.keepLines();
      return null;
    }
    this.lines = [];
    this.memory.kept = kept;
    return { failure, record: 'fault' in outcome ? outcome.record : -1 };
  }

  private async enterGuest(span: Span, count: number, bytes: number, alone: boolean): Promise<Outcome> {
    const { helper, cell, input } = this;
    if ((alone || this.memory.mode === MODE.fresh) && !this.fresh) this.close();
    const guest = await this.start();
    const memoryBefore = guest.memoryBytes;
    const mark = helper.raw.mark();
    const at = helper.reserve(bytes);
    helper.raw.frame(input.table.at, span.from, span.to, input.skip, at, this.run.partition);
    cell[CELL.step] = this.index;
    cell[CELL.call] = (cell[CELL.call] as number) + 1;
    cell[CELL.record] = count === 1 ? 0 : -1;
    cell[CELL.count] = count;
    cell[CELL.first] = span.first;
    cell[CELL.origin] = input.originOf(span);
    cell[CELL.phase] = alone ? PHASE.alone : PHASE.call;
    try {
      const most = OUTPUT_FACTOR * bytes + OUTPUT_BYTES_PER_RECORD * count;
      const output = await guest.process(helper.memory.subarray(at, at + bytes), count, most);
      this.fresh = false;
      return { output, failed: guest.failures.size > 0 ? this.failuresOf(guest, span) : [] };
    } catch (error) {
      if (error instanceof InitRefused) throw this.initFailed(error);
      if (this.step.traces && error instanceof Error && error.stack) this.log(3, error.stack);
      const record = error instanceof GuestFault ? error.record : (cell[CELL.record] as number);
      // A module that threw says why before it traps.
      const said = guest.failures.get(record);
      const sizes = { before: memoryBefore, now: guest.memoryBytes, limit: this.step.setup.memoryBytes };
      return { fault: said ?? explainFault(error, sizes, guest.lastWords), record };
    } finally {
      cell[CELL.phase] = PHASE.host;
      helper.raw.release(mark);
    }
  }

  private failuresOf(guest: Guest, span: Span): FailedRecord[] {
    return [...guest.failures]
      .toSorted(([a], [b]) => a - b)
      .map(([n, failure]) => ({ index: this.input.nth(span.from, n), ...failure }));
  }

  private initFailed(error: unknown): Error {
    return initFailed(this.step.name, error instanceof Error ? error.message : String(error), error);
  }

  private readonly collectLine = (level: number, line: () => string): void => {
    if (this.lines.length < CALL_LOG_LINES) this.lines.push([level, line()]);
  };

  private keepLines(): void {
    for (const [level, line] of this.lines) this.log(level, line);
    this.lines = [];
  }
}
