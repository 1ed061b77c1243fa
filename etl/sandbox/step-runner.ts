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
import { FUEL, outOfFuel } from '../abi/fuel.ts';
import { CELL, PHASE } from './cell.ts';
import type { FrameHelper, Table } from './frame-helper/frame-helper.ts';
import { type Blame, type ChainStepMessage, MODE, type StepMemory } from './messages.ts';
import { type Span, StepInput, type Trial } from './span.ts';
import type { Unreadable } from './task-input.ts';
import { StepInstance } from './step-instance.ts';
import { Accumulator } from './state/accumulator.ts';
import { CallWrites, CallCut } from './state/call-writes.ts';
import { firstDue, timersTable, timesOf } from './state/timers.ts';
import type { StepState } from './state/step-state.ts';
import { type Destination, type FailedRecord, Verdicts } from './verdicts.ts';

/** One call holds at most this much (DESIGN 3); a single record may be bigger. */
const CALL_RECORDS = 1000;
const CALL_BYTES = 1024 * 1024;
/** Places of timers within a task are counted from here on: none of them is a record's. */
const TIMER_PLACES = 2 ** 30;

export interface StepRun extends Destination {
  input: Table;
  partition: number;
  blame: Blame;
  /** By index of the input: what no module is given. Left out: nothing. */
  unreadable?: readonly Unreadable[];
  /** No record comes, but the time does: milliseconds since the epoch. Left out: it moves with the records. */
  tick?: number | null;
  /** Offset that a tick is at. */
  tickOffset?: number;
}

type Outcome =
  | { output: Uint8Array | null; failed: FailedRecord[] }
  /** `record`: which one of the call, as far as the guest has said; -1: unknown. */
  | { fault: Failure; record: number }
  | CallCut;

/** What is worked off in spans: the step's records, or timers that have come. */
interface Feed {
  input: StepInput;
  verdicts: Verdicts;
  /** By index; null: these are records. */
  timers: readonly string[] | null;
}

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
  private readonly instance: StepInstance;
  private run!: StepRun;
  private feed!: Feed;
  private readonly writes: CallWrites | null;
  private timersSeen = 0;
  /** So many records a call: fewer behind a call that had to be cut, as each of these costs an instance. */
  private reach = CALL_RECORDS;

  /** `state` null: the step keeps none. */
  constructor(
    index: number,
    step: ChainStepMessage,
    memory: StepMemory,
    state: StepState | null,
    shared: { helper: FrameHelper; cell: Int32Array },
    log: (level: number, line: string) => void,
    past: GuestHost['past'],
  ) {
    this.index = index;
    this.step = step;
    this.memory = { ...memory };
    this.shared = shared;
    this.cell = shared.cell;
    // An aggregate writes once, behind all records of a call, for those that went well.
    const isAggregate = step.abi === 'fluvio';
    const hasFailed = (record: number): boolean => !isAggregate && (this.instance.guest?.failures.has(record) ?? false);
    this.writes = state && new CallWrites(state, hasFailed);
    const { cell } = shared;
    this.instance = new StepInstance(
      index,
      step,
      { cell, memory: new Accumulator(state), past, state: this.writes },
      log,
    );
  }

  /** The worker may replace it between two tasks. */
  private get helper(): FrameHelper {
    return this.shared.helper;
  }

  /** Kind `invalid`, code MODULE_INIT_FAILED when the module refuses. */
  async start(): Promise<void> {
    await this.instance.start();
  }

  close(): void {
    this.instance.close();
  }

  /** Runs the step over all of its input. Throws Stop when the policy says so. */
  async process(run: StepRun): Promise<Verdicts> {
    const { memory, writes } = this;
    this.run = run;
    this.timersSeen = 0;
    this.reach = CALL_RECORDS;
    memory.mode = Math.max(memory.mode, run.blame.modes[this.index] ?? MODE.frames);
    const guest = await this.instance.start();
    // Without progress nobody knows which record has written what.
    if (writes && guest.reportsProgress !== true && this.step.abi !== 'fluvio')
      memory.mode = Math.max(memory.mode, MODE.single);
    // A record that is short of fuel must not live on what its neighbours leave: it gets a call of its own.
    if (guest.fuel && guest.callsForEachRecord !== true) memory.mode = Math.max(memory.mode, MODE.single);
    const input = new StepInput(this.helper, run.input, !guest.takesTombstones);
    if (run.unreadable && run.unreadable.length > 0) this.run = { ...run, blame: this.withUnreadable(run, input) };
    const verdicts = new Verdicts(this.helper, input, run, this.step, memory, writes !== null);
    this.feed = { input, verdicts, timers: null };
    if (run.input.count > 0) await this.runSpans(input.whole);
    if (typeof run.tick === 'number' && writes && this.hasTimers) {
      await this.flush({ time: run.tick, origin: 0, offset: run.tickOffset ?? 0 });
      writes.state.time = Math.max(writes.state.time, run.tick);
    }
    return verdicts;
  }

  /** Whoever cannot be read is condemned without a trial. */
  private withUnreadable({ blame, unreadable = [] }: StepRun, input: StepInput): Blame {
    const condemned = unreadable.map(({ index, code, reason }) => {
      return { step: this.index, ordinal: input.before(index), origin: index, code, reason };
    });
    return { ...blame, condemned: [...blame.condemned, ...condemned] };
  }

  private get hasTimers(): boolean {
    return this.step.state?.timers ?? false;
  }

  /** Works off a stack of spans, in order; a span that fails comes back in smaller ones. */
  private async runSpans(whole: Span): Promise<void> {
    const { input, verdicts, timers } = this.feed;
    const { raw } = this.helper;
    const work: Span[] = [whole];
    for (let span = work.pop(); span; span = work.pop()) {
      const single = span.single || this.memory.mode !== MODE.frames;
      const to = raw.plan(input.table.at, span.from, span.to, input.skip, single ? 1 : this.reach, CALL_BYTES);
      const count = raw.records.value;
      const bytes = raw.bytes.value;
      if (to < span.to) work.push({ ...span, from: to, first: span.first + count, alone: false });
      const part: Span = { ...span, to };
      const marked = this.firstMarked(part.first, count);
      if (count > 1 && marked !== null) {
        work.push(...input.around(part, marked - part.first, false));
        continue;
      }
      if (count > 0 && timers === null && this.hasTimers) {
        const cut = await this.letTimersCome(part);
        if (cut !== null) {
          work.push(...input.split(part, cut));
          continue;
        }
      }
      const condemned = this.condemned(part, count);
      if (count === 0 || condemned) {
        verdicts.take(part, count, null, condemned ? [condemned] : []);
        if (condemned) this.passOver(part);
        continue;
      }
      const alone = part.alone || (marked !== null && 'fresh');
      const fault = await this.call(part, count, bytes, alone);
      if (!fault) {
        // It failed with others and not alone: where the module says it is is not to be trusted.
        if (part.alone) for (const rest of work) rest.single = true;
        continue;
      }
      const wasFresh = this.instance.isFresh;
      this.close();
      if (fault instanceof CallCut) {
        this.reach = Math.max(1, Math.min(this.reach, fault.record));
        work.push(...input.split(part, fault.record));
      } else if (count === 1) {
        const trial = this.trialAfter(fault.failure);
        if (trial === 'warm' ? alone !== 'warm' : !alone && !wasFresh) work.push({ ...part, alone: trial });
        else {
          verdicts.take(part, 1, null, [{ index: input.nth(part.from, 0), ...fault.failure }]);
          this.passOver(part);
        }
      } else if (fault.record >= 0 && fault.record < count) {
        work.push(...input.around(part, fault.record, this.trialAfter(fault.failure)));
      } else {
        work.push({ ...part, single: true });
      }
    }
  }

  /** What a module does once, as long as its instance lives, is no record's: when fuel is short it must not decide. */
  private trialAfter({ code }: Failure): Trial {
    return this.step.setup.fuel && code === FUEL ? 'warm' : 'fresh';
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
    const { input } = this.feed;
    const origin = input.originOf(span);
    const found = this.run.blame.condemned.find(
      each => each.step === this.index && each.ordinal === span.first && each.origin === origin,
    );
    return found ? { index: input.nth(span.from, 0), code: found.code, reason: found.reason } : null;
  }

  /** Lets the timers come whose time the first record of this span brings. Returns how many records fit before the next
   * one comes; null: all of them. */
  private async letTimersCome(span: Span): Promise<number | null> {
    const { state } = this.writes as CallWrites;
    const times = timesOf(this.helper, this.feed.input, span);
    const time = Math.max(state.time, times[0] as number);
    if (state.nextTimer <= time) {
      const { origin, offset } = this.helper.entry(this.feed.input.table, this.feed.input.nth(span.from, 0));
      await this.flush({ time, origin, offset });
    }
    return firstDue(times, state);
  }

  /** Calls the guest for all timers that have come at that time; what it gives comes before the record of that origin. */
  private async flush(trigger: { time: number; origin: number; offset: number }): Promise<void> {
    const { helper, feed, run, memory, step } = this;
    const { state } = this.writes as CallWrites;
    if (trigger.time > state.time) state.time = trigger.time;
    const timers = state.due(state.time);
    if (timers.length === 0) return;
    const input = new StepInput(helper, timersTable(helper, timers, trigger), false);
    // There is no record that could go on unchanged.
    const policy = { ...step, onError: step.onError === 'pass' ? 'drop' : step.onError } as const;
    const verdicts = new Verdicts(helper, input, run, policy, memory, true);
    this.feed = { input, verdicts, timers };
    state.isFlushing = true;
    try {
      await this.runSpans({ ...input.whole, first: TIMER_PLACES + this.timersSeen });
    } finally {
      state.isFlushing = false;
      this.feed = feed;
    }
    this.timersSeen += timers.length;
    feed.verdicts.addTimers(verdicts);
  }

  /** The one record, or timer, of this span is done without a call that went well. */
  private passOver(span: Span): void {
    const { writes, feed } = this;
    if (!writes) return;
    const timer = feed.timers?.[span.from];
    if (timer !== undefined) writes.state.timers.set(timer, undefined);
    else if (this.hasTimers) {
      const [time = 0] = timesOf(this.helper, feed.input, span);
      if (time > writes.state.time) writes.state.time = time;
    }
  }

  /** Runs one call and takes what it gave; a fault leaves nothing behind. */
  private async call(
    span: Span,
    count: number,
    bytes: number,
    alone: Trial,
  ): Promise<{ failure: Failure; record: number } | CallCut | null> {
    const { verdicts } = this.feed;
    const outcome = await this.enterGuest(span, count, bytes, alone);
    if (outcome instanceof CallCut) {
      this.instance.dropLines();
      return outcome;
    }
    const failedBefore = verdicts.failed.length;
    const failure = 'fault' in outcome ? outcome.fault : verdicts.take(span, count, outcome.output, outcome.failed);
    if (!failure) {
      // Refused for what it gave, after the guest had returned.
      if (this.writes && count === 1 && verdicts.failed.length > failedBefore) this.takeBackWrites(span);
      this.instance.keepLines();
      return null;
    }
    this.writes?.rollBack();
    this.instance.dropLines();
    return { failure, record: 'fault' in outcome ? outcome.record : -1 };
  }

  private takeBackWrites(span: Span): void {
    this.writes?.rollBackWrites();
    this.passOver(span);
  }

  private async enterGuest(span: Span, count: number, bytes: number, alone: Trial): Promise<Outcome> {
    const { helper, cell, writes } = this;
    const { input, timers } = this.feed;
    const { instance } = this;
    if ((alone || this.memory.mode === MODE.fresh) && !instance.isFresh) this.close();
    const guest = await instance.start();
    const memoryBefore = guest.memoryBytes;
    const mark = helper.raw.mark();
    const at = timers ? 0 : helper.reserve(bytes);
    if (!timers) helper.raw.frame(input.table.at, span.from, span.to, input.skip, at, this.run.partition);
    cell[CELL.step] = this.index;
    cell[CELL.call] = (cell[CELL.call] as number) + 1;
    cell[CELL.record] = count === 1 ? 0 : -1;
    cell[CELL.count] = count;
    cell[CELL.first] = span.first;
    cell[CELL.origin] = input.originOf(span);
    const most = OUTPUT_FACTOR * bytes + OUTPUT_BYTES_PER_RECORD * count;
    if (writes) this.beginWrites(writes, span);
    cell[CELL.phase] = alone ? PHASE.alone : PHASE.call;
    try {
      const enter = (): ReturnType<Guest['process']> =>
        timers
          ? (guest.flush?.(timers.slice(span.from, span.to), most) ?? null)
          : guest.process(helper.memory.subarray(at, at + bytes), count, most);
      if (alone === 'warm') await this.warmUp(guest, enter, span);
      const output = await enter();
      instance.isFresh = false;
      writes?.end(count - 1);
      return { output, failed: guest.failures.size > 0 ? this.failuresOf(guest, span) : [] };
    } catch (error) {
      writes?.rollBack();
      if (error instanceof CallCut) return error;
      if (error instanceof InitRefused) throw instance.initFailed(error);
      instance.trace(error);
      const record = error instanceof GuestFault ? error.record : (cell[CELL.record] as number);
      // A module that threw says why before it traps.
      const said = guest.fuel?.isSpent ? outOfFuel(guest.fuel) : guest.failures.get(record);
      const sizes = { before: memoryBefore, now: guest.memoryBytes, limit: this.step.setup.memoryBytes };
      return { fault: instance.masked(said ?? explainFault(error, sizes, guest.lastWords)), record };
    } finally {
      cell[CELL.phase] = PHASE.host;
      helper.raw.release(mark);
    }
  }

  /** One run that leaves nothing behind but a warm instance. */
  private async warmUp(guest: Guest, enter: () => ReturnType<Guest['process']>, span: Span): Promise<void> {
    const { cell, writes } = this;
    if (guest.fuel) guest.fuel.isWarmingUp = true;
    await enter();
    if (guest.fuel) guest.fuel.isWarmingUp = false;
    this.instance.dropLines();
    writes?.rollBack();
    if (writes) this.beginWrites(writes, span);
    cell[CELL.call] = (cell[CELL.call] as number) + 1;
  }

  private beginWrites(writes: CallWrites, span: Span): void {
    const { input, timers } = this.feed;
    writes.begin(!timers && this.hasTimers ? timesOf(this.helper, input, span) : null, () => {
      for (const timer of timers?.slice(span.from, span.to) ?? []) writes.state.timers.set(timer, undefined);
    });
  }

  private failuresOf(guest: Guest, span: Span): FailedRecord[] {
    return [...guest.failures]
      .toSorted(([a], [b]) => a - b)
      .map(([n, failure]) => ({ index: this.feed.input.nth(span.from, n), ...this.instance.masked(failure) }));
  }
}
