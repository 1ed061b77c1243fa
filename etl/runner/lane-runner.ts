import { type Clock, sleep } from '../../core/base/clock.ts';
import { asMillstreamError } from '../../core/base/errors.ts';
import type { Append, Chunk, Lease } from '../../core/engine/engine.ts';
import { readBatchHeader } from '../../core/engine/records.ts';
import type { Lane, TaskResult } from '../sandbox/sandbox.ts';
import type { LaneTotals, LaneTotalsOptions } from './lane-totals.ts';

/** One lease's worth of work: read -> task -> commit, several under way, commits in order. */

/** Bytes of batches in one task (DESIGN 3). */
const TASK_BYTES = 1024 * 1024;
/** Tasks between read and durable commit: the sandbox keeps 2-4 busy, the rest wait for their sync. */
const WINDOW = 8;
/** Tasks handed to the lane and not back yet. What arrives meanwhile gathers in the log and makes the next task bigger. */
const IN_LANE = 3;
/** How often is it asked whether more may be read? */
const HELD_MS = 200;
const BACK_OFF_MS = { from: 100, to: 5000 };

const NOTHING = (): Uint8Array<ArrayBuffer> => new Uint8Array(new ArrayBuffer(0));

/** The chain that does the work. */
export interface LaneWork {
  lane: Lane;
  /** Left out: the lane keeps no state. */
  state?: LaneRunnerState;
  /** So many offsets before the first are read too and handed over as done, for steps that look back. */
  lookBack: number;
  /** What the commits say did the work: in order, `sha256` as lineage keeps it. */
  steps: LaneTotalsOptions['steps'];
}

export interface LaneRunnerOptions {
  lease: Lease;
  work: LaneWork;
  /** Where to begin; left out: where the lease says. */
  start?: bigint;
  clock: Clock;
  /** Merge limit of a task, in records. */
  taskRecords: number;
  samples(): number;
  /** Nothing more is read while this is so. */
  isHeld(): boolean;
  /** Where the result's outputs and dead letters go. */
  appends(result: TaskResult): Append[];
  totals: LaneTotals;
  /** After the commit of a task is durable. */
  committed(result: TaskResult): void;
  /** Something outside refuses for now; null: it works again. */
  degraded(reason: string | null): void;
}

export interface LaneRunnerState {
  /** What the lane's tasks have changed counts only as far as it is committed. */
  reset(): Promise<void>;
  /** A partition without records for so long goes on by the clock; null: no step sets timers. */
  idleMs: number | null;
}

export type LaneEnd = { how: 'drained' | 'fenced' } | { how: 'stopped'; reason: string };

export class LaneRunner {
  /** First offset that is not committed. */
  next: bigint;
  private readonly options: LaneRunnerOptions;
  private readonly draining = new AbortController();
  private work: LaneWork;
  /** What is to take the work's place. */
  private wanted: { work: LaneWork; done: () => void } | null = null;
  private hasEnded = false;
  /** Ends the wait for a read. */
  private interrupt = (): void => {};
  /** The read that is waited for: an idle partition's time moves on meanwhile. */
  private reading: { from: bigint; chunk: Promise<Chunk> } | null = null;
  /** Of the steps' timers the first; null: there is none. */
  private nextTimer: number | null = null;
  /** Where the first read begins; null: where the work does. */
  private firstRead: bigint | null;

  constructor(options: LaneRunnerOptions) {
    this.options = options;
    this.work = options.work;
    this.next = options.start ?? options.lease.start;
    this.firstRead = this.lookBackFrom();
  }

  /** Runs until drained, fenced or stopped. A storage that refuses is waited out, from the last committed position. */
  async run(): Promise<LaneEnd> {
    let backOffMs = BACK_OFF_MS.from;
    for (;;) {
      const before = this.next;
      let failure: unknown = null;
      try {
        await this.pass();
      } catch (thrown) {
        failure = thrown;
      }
      const end = this.endAfter(failure);
      if (end) {
        await this.close();
        return end;
      }
      if (failure === null && this.wanted) {
        await this.takeOver(this.wanted);
        continue;
      }
      this.options.totals.reset();
      await this.work.state?.reset();
      this.options.degraded(asMillstreamError(failure).message);
      backOffMs = this.next > before ? BACK_OFF_MS.from : Math.min(backOffMs * 2, BACK_OFF_MS.to);
      await sleep(this.options.clock, backOffMs, AbortSignal.any([this.draining.signal, this.options.lease.signal]));
    }
  }

  /** No new reads; what is under way is finished and committed. */
  drain(): void {
    this.draining.abort();
    this.interrupt();
  }

  /**
   * From the next commit on, another chain does the work: what is under way is committed before. Resolves when it has taken
   * over, or when the runner has ended, and both are closed. To be called by one at a time.
   */
  switchTo(work: LaneWork): Promise<void> {
    if (this.hasEnded) return work.lane.close();
    return new Promise(done => {
      this.wanted = { work, done };
      this.interrupt();
    });
  }

  private async takeOver({ work, done }: { work: LaneWork; done: () => void }): Promise<void> {
    this.wanted = null;
    await this.work.lane.close();
    this.work = work;
    this.options.totals.workedBy(work.steps);
    this.firstRead = this.lookBackFrom();
    done();
  }

  /** Nothing runs any more. */
  private async close(): Promise<void> {
    this.hasEnded = true;
    const { wanted } = this;
    this.wanted = null;
    await Promise.all([this.work.lane.close(), wanted?.work.lane.close()]);
    wanted?.done();
  }

  private lookBackFrom(): bigint | null {
    const { lookBack } = this.work;
    return lookBack > 0 ? this.next - BigInt(lookBack) : null;
  }

  private endAfter(failure: unknown): LaneEnd | null {
    if (failure instanceof StoppedByPolicy) return { how: 'stopped', reason: failure.message };
    const error = failure === null ? null : asMillstreamError(failure);
    if (this.options.lease.signal.aborted || error?.code === 'FENCED') return { how: 'fenced' };
    if (this.draining.signal.aborted || error?.kind === 'closed') return { how: 'drained' };
    if (error === null && this.wanted) return null;
    return error?.kind === 'unavailable' ? null : { how: 'stopped', reason: error?.message ?? 'the read ended' };
  }

  /** Reads and runs until there is a reason to end; throws the first failure after everything has settled. */
  private async pass(): Promise<void> {
    const { lease } = this.options;
    const { lane, state } = this.work;
    const window = new Window(() => this.interrupt());
    let order: Promise<void> = Promise.resolve();
    let from = this.next;
    // Behind `from` only as long as there is something to look back at.
    let readFrom = this.takeFirstRead() ?? from;
    try {
      if (state) await this.recall(from);
      while (!this.draining.signal.aborted && !lease.signal.aborted && !this.wanted) {
        await window.room();
        if (this.options.isHeld()) {
          await sleep(this.options.clock, HELD_MS, AbortSignal.any([this.draining.signal, lease.signal]));
          continue;
        }
        const chunk = await this.readUnless(readFrom, window).catch((error: unknown) => {
          // Retention took away meanwhile what only was to be looked back at.
          if (readFrom >= from || asMillstreamError(error).code !== 'OFFSET_OUT_OF_RANGE') throw error;
          readFrom = from;
          return null;
        });
        // What was waited for while it became so is read again later.
        if (!chunk || (chunk !== 'idle' && chunk.batches.length === 0) || this.options.isHeld()) continue;
        const tick = chunk === 'idle' ? this.tick(window) : undefined;
        if (tick === null) continue;
        const { batches, next } =
          chunk === 'idle' ? { batches: NOTHING(), next: from } : gather(chunk, this.options.taskRecords);
        const at = tick === undefined ? {} : { tick };
        const task = lane.run({ batches, from: Number(from), samples: this.options.samples(), ...at });
        window.enterLane(task);
        // All of it was done before: there is nothing to commit.
        const isPast = chunk !== 'idle' && next <= from;
        order = order.then(async () => {
          const result = await task;
          if (window.failed) return;
          this.nextTimer = result.state?.nextTimer ?? null;
          if (isPast) return;
          window.track(this.commit(result, next));
          if (result.stopped) throw new StoppedByPolicy(result.stopped.step, result.stopped.reason);
        });
        window.track(order);
        if (chunk !== 'idle') readFrom = next;
        if (!isPast) from = next;
      }
    } finally {
      await window.settled();
    }
    await window.room();
  }

  /** Begins with the committed state, and asks it for its timers. */
  private async recall(from: bigint): Promise<void> {
    const { state } = await this.work.lane.run({ batches: NOTHING(), from: Number(from), samples: 0 });
    this.nextTimer = state?.nextTimer ?? null;
  }

  /** To when an idle partition's time moves on: records that are late by less than the idle time still count. null: not
   * now. */
  private tick(window: Window): number | null {
    const { clock } = this.options;
    const time = clock.now() - (this.work.state?.idleMs ?? 0);
    return window.isEmpty && this.nextTimer !== null && this.nextTimer <= time ? time : null;
  }

  private takeFirstRead(): bigint | null {
    const { firstRead } = this;
    this.firstRead = null;
    if (firstRead === null) return null;
    const { from } = this.options.lease.bounds();
    return firstRead > from ? firstRead : from;
  }

  /** The read, or null as soon as the runner drains, another chain is to take over or something under way has failed; 'idle'
   * when nothing has come for the idle time. A read goes on until it is there, also for the pass behind this one. */
  private async readUnless(from: bigint, window: Window): Promise<Chunk | 'idle' | null> {
    const { clock, lease } = this.options;
    const { state } = this.work;
    // It may have come since the loop has asked.
    if (this.draining.signal.aborted || this.wanted || window.failed) return null;
    if (this.reading?.from !== from) this.reading = { from, chunk: lease.read(from, TASK_BYTES) };
    // Not Promise.race: it would leave something behind at whatever outlives the read, at each read.
    const { promise, resolve, reject } = Promise.withResolvers<Chunk | 'idle' | null>();
    this.reading.chunk.then(resolve, reject);
    this.interrupt = () => resolve(null);
    const timer = typeof state?.idleMs === 'number' ? clock.setTimer(state.idleMs, () => resolve('idle')) : null;
    try {
      const found = await promise;
      if (found !== 'idle' && found !== null) this.reading = null;
      return found;
    } catch (error) {
      this.reading = null;
      throw error;
    } finally {
      timer?.cancel();
      this.interrupt = () => {};
    }
  }

  private async commit(result: TaskResult, next: bigint): Promise<void> {
    const upTo = result.stopped ? BigInt(result.stopped.offset) : next;
    const append = this.options.appends(result);
    const { state, lineage, done } = this.options.totals.next(
      result,
      upTo,
      append.some(({ isState }) => !isState),
    );
    await this.options.lease.commit({ next: upTo, state, append, lineage });
    done();
    this.next = upTo;
    this.options.committed(result);
    this.options.degraded(null);
  }
}

class StoppedByPolicy extends Error {
  constructor(step: string, reason: string) {
    super(`step ${step} stopped the pipeline: ${reason}`);
  }
}

/** Keeps the number of unfinished tasks and commits bounded and remembers the first failure. */
class Window {
  failed = false;
  private failure: unknown = null;
  private inLane = 0;
  /** Tasks and commits under way. */
  private open = 0;
  private wake = (): void => {};
  private readonly broken: () => void;

  /** `broken` is called at the first failure. */
  constructor(broken: () => void) {
    this.broken = broken;
  }

  enterLane(task: Promise<TaskResult>): void {
    this.inLane++;
    const left = (): void => {
      this.inLane--;
      this.wake();
    };
    void task.then(left, left);
  }

  /** Nothing is under way. */
  get isEmpty(): boolean {
    return this.open === 0;
  }

  track(work: Promise<void>): void {
    this.open++;
    void this.watch(work);
  }

  /** Resolves when another task may start; throws the first failure. */
  async room(): Promise<void> {
    while (!this.failed && (this.inLane >= IN_LANE || this.open >= 2 * WINDOW)) await this.change();
    if (this.failed) throw this.failure;
  }

  async settled(): Promise<void> {
    while (this.open > 0) await this.change();
  }

  private change(): Promise<void> {
    return new Promise(resolve => {
      this.wake = resolve;
    });
  }

  private async watch(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.fail(error);
    }
    this.open--;
    this.wake();
  }

  private fail(error: unknown): void {
    if (this.failed) return;
    this.failed = true;
    this.failure = error;
    this.broken();
  }
}

/** Copies whole batches into one transferable buffer, until the record limit; the log's bytes are not ours to give. */
function gather(chunk: Chunk, maxRecords: number): { batches: Uint8Array<ArrayBuffer>; next: bigint } {
  let records = 0;
  let size = 0;
  let taken = 0;
  let next = chunk.next;
  for (const batch of chunk.batches) {
    if (records >= maxRecords) {
      next = BigInt(readBatchHeader(batch).baseOffset);
      break;
    }
    records += readBatchHeader(batch).recordCount;
    size += batch.length;
    taken++;
  }
  const batches = new Uint8Array(new ArrayBuffer(size));
  let at = 0;
  for (const batch of chunk.batches.slice(0, taken)) {
    batches.set(batch, at);
    at += batch.length;
  }
  return { batches, next };
}
