import { setImmediate } from 'node:timers/promises';
import { sleep, type Timer } from '../../core/base/clock.ts';
import { asMillstreamError, type MillstreamError } from '../../core/base/errors.ts';
import type { Chunk } from '../../core/engine/engine.ts';
import { unlessAborted } from './abort.ts';
import { backOffMs } from './back-off.ts';
import { Batcher, type Gathered, joinGathered, splitGathered } from './batcher.ts';
import type { Committer } from './committer.ts';
import type { PartitionWriter } from './contract.ts';
import { decodeInto } from './decode.ts';
import { deliver, type Delivered, Split, Undelivered } from './deliver.ts';
import { Ended, type LaneEnd, type LaneOptions, type Trouble } from './lane.ts';
import { ownBatches } from './own-batches.ts';
import { Window } from './window.ts';

/** What one writer does with one partition: read -> gather -> write (a window of batches) -> commit in order. */

/** Small, so that decoding never holds up the event loop for long. */
const READ_BYTES = 256 * 1024;
/** How long winding up may take, and how long a write that was told to stop may take to let go. */
const DRAIN_MS = 10_000;

interface Pending {
  batch: Gathered;
  delivered: Delivered | null;
  /** It was split off, to find the row that is refused. */
  isPart?: boolean;
}

export class LanePass {
  private readonly options: LaneOptions;
  private readonly writer: PartitionWriter;
  private readonly committer: Committer;
  /** Nothing new is begun: a drain, or a batch that could not be delivered. */
  private readonly windingUp = new AbortController();
  /** Everything ends now: the lease is lost, or winding up took too long. */
  private readonly over = new AbortController();
  private readonly window: Window;
  private readonly batcher: Batcher;
  /** Sealed and not committed, in order; `waiting` is the later part of it, not being written yet. */
  private readonly order: Pending[] = [];
  private readonly waiting: Pending[] = [];
  private readonly troubles = new Map<unknown, Trouble>();
  private held = 0;
  private inFlight = 0;
  private committing = false;
  private end: LaneEnd | null = null;
  private deadline: Timer | null = null;
  private wakers: (() => void)[] = [];

  constructor(options: LaneOptions, writer: PartitionWriter, committer: Committer) {
    this.options = options;
    this.writer = writer;
    this.committer = committer;
    committer.over = this.over.signal;
    committer.trouble = trouble => this.trouble('commit', trouble);
    this.window = new Window(options.maxInFlight);
    this.batcher = new Batcher(
      committer.next,
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

  /** Runs until drained or broken. */
  async run(draining: AbortSignal): Promise<LaneEnd> {
    const { lease } = this.options;
    const drain = (): void => {
      this.batcher.seal();
      this.windUp();
    };
    const lost = (): void => this.abort({ how: 'abandoned' });
    draining.addEventListener('abort', drain);
    lease.signal.addEventListener('abort', lost);
    if (draining.aborted) drain();
    if (lease.signal.aborted) lost();
    try {
      await this.readAll();
      while (!this.over.signal.aborted && !this.isSettled()) await this.changed();
    } catch (thrown) {
      this.fail(thrown);
    }
    const complete = this.order.length === 0 && !this.over.signal.aborted;
    this.abort({ how: 'drained' });
    await this.letGo();
    draining.removeEventListener('abort', drain);
    lease.signal.removeEventListener('abort', lost);
    await this.writer.close(complete ? 'drain' : 'abandon').catch(() => {});
    return this.end ?? { how: 'drained' };
  }

  /** Is all done that can be? When a batch could not be delivered, what is behind it stays undone. */
  private isSettled(): boolean {
    if (this.inFlight > 0 || this.committing) return false;
    return this.order.length === 0 || (this.end !== null && !this.order[0]?.delivered);
  }

  /** Writes that were told to stop must have let go before somebody else takes the partition. */
  private async letGo(): Promise<void> {
    this.deadline?.cancel();
    this.batcher.clear();
    const patience = new AbortController();
    const timer = this.options.clock.setTimer(DRAIN_MS, () => {
      patience.abort();
      this.wake();
    });
    while ((this.inFlight > 0 || this.committing) && !patience.signal.aborted) await this.changed();
    timer.cancel();
  }

  private async readAll(): Promise<void> {
    const { lease, on, accepts, open } = this.options;
    let from = this.committer.next;
    let attempt = 0;
    while (await this.hasRoom()) {
      let chunk: Chunk | null;
      try {
        chunk = await unlessAborted(lease.read(from, READ_BYTES), this.windingUp.signal);
        attempt = 0;
        this.trouble('read', null);
      } catch (thrown) {
        const error = asMillstreamError(thrown);
        if (error.code === 'OFFSET_OUT_OF_RANGE') from = await this.overGap(from, error);
        else await this.pauseReading(++attempt, error);
        continue;
      }
      if (!chunk) return;
      for (const bytes of ownBatches(chunk.batches)) {
        if (!(await this.hasRoom())) return;
        const { records, heldBytes } = decodeInto(this.batcher, bytes, from, lease, accepts, open);
        this.held += heldBytes;
        on.read(records);
      }
      from = chunk.next;
      this.batcher.advance(from);
      if (this.options.limits.lingerMs === 0) this.batcher.seal();
      // Reads from memory would otherwise keep the event loop from everything else.
      await setImmediate();
    }
  }

  /** Waits until the lane's share of memory has room; false when the lane is to end. */
  private async hasRoom(): Promise<boolean> {
    while (!this.windingUp.signal.aborted) {
      if (this.held < this.options.share()) return true;
      this.batcher.ripen();
      await this.changed();
    }
    return false;
  }

  private async pauseReading(attempt: number, error: MillstreamError): Promise<void> {
    const { clock, retry, random, on } = this.options;
    on.retried('transient');
    this.trouble('read', { state: 'degraded', reason: `${error.message} (${error.code})` });
    await sleep(clock, backOffMs(attempt, retry, random), this.windingUp.signal);
  }

  private async overGap(from: bigint, error: MillstreamError): Promise<bigint> {
    const { lease, onGap, on } = this.options;
    // What was read before is done first.
    this.batcher.seal();
    while (this.order.length > 0 && !this.windingUp.signal.aborted) await this.changed();
    if (this.windingUp.signal.aborted) return from;
    const bounds = lease.bounds();
    const to = from < bounds.from ? bounds.from : bounds.to;
    const lost = to > from ? `records ${from} to ${to - 1n} are lost` : `the log ends at ${to}`;
    const reason = `the position ${from} of ${lease.topic}/${lease.partition} is outside the log: ${lost}`;
    if (onGap === 'stop') throw new Ended({ how: 'stalled', code: error.code, reason });
    await this.committer.commit(to, undefined);
    this.batcher.restartAt(to);
    on.skipped(reason);
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
    while (this.end === null && this.inFlight < this.window.size && !this.mustCommitFirst()) {
      const pending = this.waiting.shift();
      if (pending) void this.write(this.joined(pending));
      else if (this.batcher.ripe && !this.batcher.isEmpty) this.batcher.seal();
      else return;
    }
  }

  /** With what waits behind it, where that may go together. */
  private joined(pending: Pending): Pending {
    const { joins } = this.options;
    if (!joins || pending.isPart) return pending;
    for (let next = this.waiting[0]; next && !next.isPart; next = this.waiting[0]) {
      const { rows, sizeBytes } = pending.batch;
      if (rows.length + next.batch.rows.length > joins.rows || sizeBytes + next.batch.sizeBytes > joins.bytes) break;
      pending.batch = joinGathered(pending.batch, next.batch);
      this.waiting.shift();
      this.order.splice(this.order.indexOf(next), 1);
    }
    return pending;
  }

  private mustCommitFirst(): boolean {
    return this.options.commitsEach && this.order.length > this.waiting.length;
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
        over: this.over.signal,
        windingUp: this.windingUp.signal,
        handsBack: this.options.commitsEach,
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
      if (thrown instanceof Split) this.split(pending, thrown);
      else this.fail(thrown);
    }
    this.inFlight--;
    this.trouble(pending, null);
    void this.commitReady();
    this.pump();
    this.wake();
  }

  /** Two batches take the place of one. */
  private split(pending: Pending, { rows, rejected }: Split): void {
    const parts = splitGathered(pending.batch, rows, rejected).map(batch => ({ batch, delivered: null, isPart: true }));
    this.order.splice(this.order.indexOf(pending), 1, ...parts);
    this.waiting.unshift(...parts);
  }

  private async commitReady(): Promise<void> {
    if (this.committing) return;
    this.committing = true;
    try {
      while (this.order[0]?.delivered && !this.over.signal.aborted) {
        const end = this.order.findIndex(pending => !pending.delivered);
        await this.commitBatches(this.order.slice(0, end === -1 ? undefined : end));
        this.wake();
      }
    } catch (thrown) {
      this.fail(thrown);
    }
    this.committing = false;
    this.pump();
    this.wake();
  }

  private async commitBatches(ready: readonly Pending[]): Promise<void> {
    const { lease, bury, on } = this.options;
    const { next } = (ready.at(-1) as Pending).batch;
    const rejected = ready.flatMap(({ batch, delivered }) => [...batch.unreadable, ...(delivered?.rejected ?? [])]);
    const state = ready.findLast(({ delivered }) => delivered?.state !== undefined)?.delivered?.state;
    await this.committer.commit(next, state, mostBytes => bury(lease, rejected, mostBytes));
    this.writer.committed?.(state);
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

  /** Keeps the state of each thing that fails by itself, and reports the worst. */
  private trouble(of: unknown, trouble: Trouble | null): void {
    if (trouble) this.troubles.set(of, trouble);
    else if (!this.troubles.delete(of)) return;
    const all = [...this.troubles.values()];
    this.options.on.trouble(all.find(one => one.state === 'stalled') ?? all[0] ?? null);
  }

  private fail(thrown: unknown): void {
    if (thrown instanceof Ended) return this.abort(thrown.end);
    if (!(thrown instanceof Undelivered)) {
      const { code, message } = asMillstreamError(thrown);
      return this.abort({ how: 'stopped', code, reason: message });
    }
    const { code = 'STOPPED', reason = '' } = thrown.failure ?? {};
    if (thrown.why === 'fenced') return this.abort({ how: 'fenced', code, reason });
    // What is under way may still be written and committed, up to the first batch that was not.
    this.end ??= thrown.why === 'stop' ? { how: 'stopped', code, reason } : { how: 'drained' };
    this.windUp();
  }

  private windUp(): void {
    if (this.windingUp.signal.aborted) return;
    this.windingUp.abort();
    this.deadline = this.options.clock.setTimer(DRAIN_MS, () => this.abort({ how: 'drained' }));
    this.wake();
  }

  private abort(end: LaneEnd): void {
    this.end ??= end;
    this.windUp();
    this.over.abort();
    this.wake();
  }

  private changed(): Promise<void> {
    return new Promise(resolve => this.wakers.push(resolve));
  }

  private wake(): void {
    for (const waker of this.wakers.splice(0)) waker();
  }
}
