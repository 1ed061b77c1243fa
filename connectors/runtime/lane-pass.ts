import { type Clock, sleep } from '../../core/base/clock.ts';
import { asMillstreamError, MillstreamError } from '../../core/base/errors.ts';
import type { Random } from '../../core/base/random.ts';
import type { Append, Chunk, Lease } from '../../core/engine/engine.ts';
import type { LogRecord } from '../../core/engine/records.ts';
import { unlessAborted } from './abort.ts';
import { backOffMs } from './back-off.ts';
import { Batcher, type BatchLimits, type Gathered } from './batcher.ts';
import type { PartitionWriter } from './contract.ts';
import { decodeInto } from './decode.ts';
import { deliver, type Delivered, type Rejected, type RetryPlan, Undelivered } from './deliver.ts';
import type { Failure } from './failure.ts';
import { frameState } from './state-frame.ts';
import { Window } from './window.ts';

/** What one writer does with one partition: read -> gather -> write (a window of batches) -> commit in order. */

const READ_BYTES = 1024 * 1024;
/** How long a drain, or a write that was told to stop, may take. */
const DRAIN_MS = 10_000;

export interface LaneOptions {
  lease: Lease;
  exactlyOnce: boolean;
  maxInFlight: number;
  limits: BatchLimits;
  retry: RetryPlan;
  onGap: 'stop' | 'skip';
  accepts: (record: LogRecord) => boolean;
  clock: Clock;
  random: Random;
  /** This lane's share of the sink's memory, in bytes. */
  share(): number;
  /** Dead letters for refused records. */
  bury: (lease: Lease, rejected: readonly Rejected[]) => Append[];
  on: LaneEvents;
}

export interface LaneEvents {
  read(records: number): void;
  retried(kind: Failure['kind']): void;
  /** null: all is well (again). */
  trouble(trouble: Trouble | null): void;
  wrote(seconds: number): void;
  committed(done: { written: number; filtered: number; rejected: readonly Rejected[] }): void;
  /** `on_gap = "skip"` moved the position. */
  skipped(from: bigint, to: bigint): void;
}

export interface Trouble {
  state: 'degraded' | 'stalled';
  reason: string;
}

/** How a lane ended. `stopped`: the whole sink must stop; `stalled`: this partition alone waits for a person;
 * `fenced`: the outside system has another writer. */
export type LaneEnd =
  | { how: 'drained' | 'abandoned' }
  | { how: 'fenced' | 'stalled' | 'stopped'; code: string; reason: string };

interface Pending {
  batch: Gathered;
  delivered: Delivered | null;
}

export class LanePass {
  /** First offset that is not committed. */
  next: bigint;
  /** The last committed state with its frame. */
  framedState: string | null;
  private readonly options: LaneOptions;
  private readonly writer: PartitionWriter;
  private readonly draining: AbortSignal;
  private readonly failed = new AbortController();
  private readonly over: AbortSignal;
  private readonly window: Window;
  private readonly batcher: Batcher;
  /** Sealed and not committed, in order; the later part of it is not being written yet. */
  private readonly order: Pending[] = [];
  private readonly waiting: Pending[] = [];
  private readonly troubles = new Map<unknown, Trouble>();
  private held = 0;
  private inFlight = 0;
  private committing = false;
  private end: LaneEnd | null = null;
  private wakers: (() => void)[] = [];

  constructor(
    options: LaneOptions,
    writer: PartitionWriter,
    next: bigint,
    framedState: string | null,
    draining: AbortSignal,
  ) {
    this.options = options;
    this.writer = writer;
    this.next = next;
    this.framedState = framedState;
    this.draining = draining;
    this.over = AbortSignal.any([options.lease.signal, this.failed.signal]);
    this.window = new Window(options.maxInFlight);
    this.batcher = new Batcher(
      next,
      options.limits,
      options.clock,
      batch => this.enqueue(batch),
      () => this.pump(),
    );
  }

  get isBusy(): boolean {
    return this.order.length > 0 || !this.batcher.isEmpty;
  }

  /** Timestamp of the oldest row that waits; null when none does. */
  get oldest(): number | null {
    const row = this.order.find(pending => pending.batch.rows.length > 0)?.batch.rows[0] ?? this.batcher.first;
    return row?.record.timestamp ?? null;
  }

  async run(): Promise<LaneEnd> {
    const wake = (): void => this.wake();
    this.over.addEventListener('abort', wake);
    const deadline = (): void => void this.options.clock.setTimer(DRAIN_MS, () => this.finish({ how: 'drained' }));
    if (this.draining.aborted) deadline();
    else this.draining.addEventListener('abort', deadline, { once: true });
    try {
      await this.readAll();
      this.batcher.seal();
      while (this.order.length > 0 && !this.over.aborted) await this.changed();
    } catch (thrown) {
      this.fail(thrown);
    }
    this.draining.removeEventListener('abort', deadline);
    return this.close();
  }

  private async close(): Promise<LaneEnd> {
    const complete = this.order.length === 0 && !this.options.lease.signal.aborted;
    this.finish({ how: this.options.lease.signal.aborted ? 'abandoned' : 'drained' });
    this.batcher.clear();
    // Writes that were told to stop must have let go before somebody else takes the partition.
    const patience = new AbortController();
    const timer = this.options.clock.setTimer(DRAIN_MS, () => patience.abort());
    patience.signal.addEventListener('abort', () => this.wake(), { once: true });
    while ((this.inFlight > 0 || this.committing) && !patience.signal.aborted) await this.changed();
    timer.cancel();
    await this.writer.close(complete ? 'drain' : 'abandon').catch(() => {});
    return this.end ?? { how: 'drained' };
  }

  private async readAll(): Promise<void> {
    const { lease, on } = this.options;
    let from = this.next;
    let attempt = 0;
    while (await this.hasRoom()) {
      let chunk: Chunk | null;
      try {
        chunk = await unlessAborted(lease.read(from, READ_BYTES), AbortSignal.any([this.over, this.draining]));
        attempt = 0;
        this.trouble('read', null);
      } catch (thrown) {
        const error = asMillstreamError(thrown);
        if (error.code === 'OFFSET_OUT_OF_RANGE') from = await this.overGap(from, error);
        else await this.pause('read', ++attempt, error);
        continue;
      }
      if (!chunk) return;
      for (const bytes of chunk.batches) {
        if (!(await this.hasRoom())) return;
        const { records, heldBytes } = decodeInto(this.batcher, bytes, from, lease, this.options.accepts);
        this.held += heldBytes;
        on.read(records);
      }
      from = chunk.next;
      this.batcher.advance(from);
      if (this.options.limits.lingerMs === 0) this.batcher.seal();
    }
  }

  /** Waits until the lane's share of memory has room; false when the lane is to end. */
  private async hasRoom(): Promise<boolean> {
    while (!this.over.aborted && !this.draining.aborted) {
      if (this.held < this.options.share()) return true;
      this.batcher.ripen();
      await this.changed();
    }
    return false;
  }

  private async overGap(from: bigint, error: MillstreamError): Promise<bigint> {
    const { lease, onGap, on } = this.options;
    const bounds = lease.bounds();
    const to = from < bounds.from ? bounds.from : bounds.to;
    const lost = to > from ? `records ${from} to ${to - 1n} are lost` : 'the log ends before it';
    if (onGap === 'stop') {
      const reason = `the position ${from} of ${lease.topic}/${lease.partition} is outside the log: ${lost} (${error.message})`;
      throw new Ended({ how: 'stalled', code: error.code, reason });
    }
    this.batcher.seal();
    while (this.order.length > 0 && !this.over.aborted) await this.changed();
    if (this.over.aborted) return from;
    await this.commit({ next: to });
    this.next = to;
    this.batcher.restartAt(to);
    on.skipped(from, to);
    return to;
  }

  private enqueue(batch: Gathered): void {
    const pending: Pending = { batch, delivered: null };
    this.order.push(pending);
    this.waiting.push(pending);
    this.pump();
  }

  /** Begins as many writes as the window allows; a ripe open batch goes when nothing waits before it. */
  private pump(): void {
    while (!this.over.aborted && this.inFlight < this.window.size) {
      const pending = this.waiting.shift();
      if (pending) void this.write(pending);
      else if (this.batcher.ripe && !this.batcher.isEmpty) this.batcher.seal();
      else return;
    }
  }

  private async write(pending: Pending): Promise<void> {
    const { clock, random, retry, on } = this.options;
    const { rows, next } = pending.batch;
    const began = clock.monotonic();
    this.inFlight++;
    try {
      pending.delivered = await deliver(rows, next, {
        writer: this.writer,
        retry,
        clock,
        random,
        over: this.over,
        draining: this.draining,
        retrying: (failure, delayMs, exhausted) => {
          on.retried(failure.kind);
          if (failure.kind === 'throttled') this.window.onThrottled();
          const again = exhausted ? `gave up after ${retry.attempts} tries, still trying` : 'tried again';
          const reason = `${failure.reason} (${failure.code}; ${again} in ${Math.ceil(delayMs)} ms)`;
          this.trouble(pending, { state: exhausted ? 'stalled' : 'degraded', reason });
        },
        accepted: () => {
          this.window.onAccepted();
          this.trouble(pending, null);
        },
      });
      if (rows.length > 0) on.wrote((clock.monotonic() - began) / 1000);
    } catch (thrown) {
      this.fail(thrown);
    }
    this.inFlight--;
    this.trouble(pending, null);
    void this.commitReady();
    this.pump();
    this.wake();
  }

  private async commitReady(): Promise<void> {
    if (this.committing) return;
    this.committing = true;
    try {
      while (this.order[0]?.delivered && !this.over.aborted) {
        const end = this.order.findIndex(pending => !pending.delivered);
        await this.commitBatches(this.order.slice(0, end === -1 ? undefined : end));
        this.wake();
      }
    } catch (thrown) {
      this.fail(thrown);
    }
    this.committing = false;
    this.wake();
  }

  private async commitBatches(ready: readonly Pending[]): Promise<void> {
    const { lease, bury, on, exactlyOnce } = this.options;
    const next = (ready.at(-1) as Pending).batch.next;
    const rejected = ready.flatMap(({ batch, delivered }) => [...batch.unreadable, ...(delivered?.rejected ?? [])]);
    let state = ready.findLast(({ delivered }) => delivered?.state !== undefined)?.delivered?.state;
    // A position without a state would look like a lost one.
    if (exactlyOnce && this.framedState === null) state ??= '';
    await this.commit({ next, ...(state === undefined ? {} : { state }) }, () => bury(lease, rejected));
    this.next = next;
    this.order.splice(0, ready.length);
    let written = 0;
    let filtered = 0;
    for (const { batch, delivered } of ready) {
      written += delivered?.written ?? 0;
      filtered += batch.filtered;
      this.held -= batch.heldBytes;
    }
    on.committed({ written, filtered, rejected });
  }

  private async commit(what: { next: bigint; state?: string }, append: () => Append[] = () => []): Promise<void> {
    const { lease } = this.options;
    const state: { state?: string } = what.state === undefined ? {} : { state: frameState(lease.topicId, what.state) };
    for (let attempt = 1; ; attempt++) {
      try {
        // Encoded anew for each try: the engine owns the bytes it was given.
        const batches = append();
        await lease.commit({ next: what.next, ...state, ...(batches.length > 0 ? { append: batches } : {}) });
        this.framedState = state.state ?? this.framedState;
        return this.trouble('commit', null);
      } catch (thrown) {
        const error = asMillstreamError(thrown);
        if (lease.signal.aborted || error.kind === 'conflict') throw new Ended({ how: 'abandoned' });
        if (!error.retriable) throw error;
        await this.pause('commit', attempt, error);
        if (this.over.aborted) throw new Ended({ how: 'abandoned' });
      }
    }
  }

  private async pause(what: 'read' | 'commit', attempt: number, error: MillstreamError): Promise<void> {
    const { clock, retry, random, on } = this.options;
    on.retried('transient');
    this.trouble(what, { state: 'degraded', reason: `${error.message} (${error.code})` });
    const until = what === 'read' ? AbortSignal.any([this.over, this.draining]) : this.over;
    await sleep(clock, backOffMs(attempt, retry, random), until);
  }

  /** Keeps the state of each thing that fails by itself, and reports the worst. */
  private trouble(of: unknown, trouble: Trouble | null): void {
    if (trouble) this.troubles.set(of, trouble);
    else if (!this.troubles.delete(of)) return;
    const all = [...this.troubles.values()];
    this.options.on.trouble(all.find(one => one.state === 'stalled') ?? all[0] ?? null);
  }

  private fail(thrown: unknown): void {
    if (thrown instanceof Ended) return this.finish(thrown.end);
    if (thrown instanceof Undelivered) {
      const { why, failure } = thrown;
      const { code = 'STOPPED', reason = '' } = failure ?? {};
      if (why === 'over') this.finish({ how: this.options.lease.signal.aborted ? 'abandoned' : 'drained' });
      else this.finish({ how: why === 'fenced' ? 'fenced' : 'stopped', code, reason });
      return;
    }
    const { code, message } = asMillstreamError(thrown);
    this.finish({ how: 'stopped', code, reason: message });
  }

  private finish(end: LaneEnd): void {
    this.end ??= end;
    this.failed.abort();
  }

  private changed(): Promise<void> {
    return new Promise(resolve => this.wakers.push(resolve));
  }

  private wake(): void {
    for (const waker of this.wakers.splice(0)) waker();
  }
}

class Ended extends Error {
  readonly end: LaneEnd;

  constructor(end: LaneEnd) {
    super(end.how);
    this.end = end;
  }
}
