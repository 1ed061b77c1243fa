import { isMarkedAsUntransferable } from 'node:worker_threads';
import type { Clock } from '../../core/base/clock.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import type { Logger } from '../../core/base/logger.ts';
import type { Counter } from '../../core/base/metrics.ts';
import { BufferPool } from './buffer-pool.ts';
import { PHASE } from './cell.ts';
import { chainKey } from './chain-key.ts';
import { initFailed } from './errors.ts';
import type { QueuedTask, SlotLane } from './lane.ts';
import { MODE, type Reply, type RunMessage } from './messages.ts';
import type { ChainSpec } from './sandbox.ts';
import type { Thread } from './thread.ts';
import { type Activity, readActivity, Watchdog } from './watchdog.ts';

/** Tasks that a worker has at a time: enough that it never waits, few enough that little is run twice after a kill. */
const IN_FLIGHT = 4;
/** Attempts at one task that ended with its thread for no reason that blames a record. */
const MOST_ATTEMPTS_WITHOUT_BLAME = 3;

interface Attempt {
  id: number;
  queued: QueuedTask;
}

export interface SlotHost {
  clock: Clock;
  logger: Logger;
  /** The warm spare; a new one is made behind it. */
  takeSpare(): Thread;
  threadsReplaced: Counter;
  /** A guest of this chain stood still, or ended its thread, in a place that it shares with other chains. Where its lanes go
   * on; null: where they are. */
  offended(chain: ChainSpec): Slot | null;
  /** Nothing is pinned to it any more. */
  emptied(slot: Slot): void;
}

/**
 * A place for one worker thread, and the lanes that are pinned to it. Tasks go to the thread in the order of their lane;
 * when the thread has to be killed, the warm spare takes its place and everything that was not answered runs again.
 */
export class Slot {
  readonly lanes = new Set<SlotLane>();
  private readonly host: SlotHost;
  private readonly nice: number;
  private readonly watchdog: Watchdog;
  private readonly buffers = new BufferPool();
  private thread: Thread;
  private inFlight: Attempt[] = [];
  private attempts = 0;
  private turn = 0;
  private closed = false;
  /** Whose guest it was that the thread is replaced for. */
  private offender: SlotLane | null = null;

  /** `nice`: its threads step back behind all others by so much. */
  constructor(host: SlotHost, thread: Thread, nice = 0) {
    this.host = host;
    this.nice = nice;
    this.thread = this.asNice(thread);
    this.watchdog = new Watchdog({
      clock: host.clock,
      thread: () => this.thread,
      limitMs: activity => this.limitMs(activity),
      stoodStill: (activity, limitMs) => this.stoodStill(activity, limitMs),
    });
  }

  add(lane: SlotLane): void {
    this.lanes.add(lane);
  }

  remove(lane: SlotLane): void {
    this.lanes.delete(lane);
    if (this.closed) return;
    if (lane.openIn === this.thread) this.thread.run({ kind: 'close', task: 0, lane: lane.id }).catch(() => {});
    if (this.lanes.size === 0) this.host.emptied(this);
  }

  /** Sends what may go, the lanes taking turns. */
  dispatch(): void {
    if (this.thread.isLost && this.inFlight.length === 0 && !this.closed) return this.replaceThread();
    while (!this.closed && this.inFlight.length < IN_FLIGHT) {
      const queued = this.nextTask();
      if (!queued) break;
      this.send(queued);
    }
    if (this.inFlight.length > 0) this.watchdog.start();
    else this.watchdog.stop();
  }

  async close(error: Error): Promise<void> {
    this.closed = true;
    this.watchdog.stop();
    for (const { queued } of this.inFlight.splice(0)) {
      queued.lane.inFlight--;
      queued.reject(error);
    }
    for (const lane of this.lanes) lane.fail(error);
    await this.thread.destroy();
  }

  private nextTask(): QueuedTask | null {
    const lanes = [...this.lanes];
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[(this.turn + i) % lanes.length] as SlotLane;
      const queued = lane.chain ? lane.queue.shift() : undefined;
      if (!queued) continue;
      this.turn = (this.turn + i + 1) % lanes.length;
      return queued;
    }
    return null;
  }

  private send(queued: QueuedTask): void {
    const { lane, task } = queued;
    const { thread } = this;
    const attempt = { id: ++this.attempts, queued };
    const open = lane.openIn === thread ? null : lane.openMessage();
    lane.openIn = thread;
    lane.inFlight++;
    this.inFlight.push(attempt);
    const { buffer, byteOffset } = this.bytesFor(queued);
    const message: RunMessage = {
      kind: 'run',
      task: attempt.id,
      lane: lane.id,
      open,
      buffer,
      byteOffset,
      length: queued.length,
      from: task.from,
      samples: task.samples,
      tick: task.tick ?? null,
      at: queued.at,
      blame: queued.blame,
    };
    thread.run(message, [buffer]).then(
      reply => this.answered(attempt, thread, reply),
      error => this.lost(attempt, thread, error),
    );
  }

  /** The first attempt gets the task's own buffer, once a copy is kept; a later one gets a copy of that copy. */
  private bytesFor(queued: QueuedTask): { buffer: ArrayBuffer; byteOffset: number } {
    const { batches } = queued.task;
    if (queued.kept) return { buffer: queued.kept.slice(0, queued.length), byteOffset: 0 };
    queued.length = batches.length;
    queued.kept = this.buffers.keep(batches);
    if (isMarkedAsUntransferable(batches.buffer))
      return { buffer: queued.kept.slice(0, batches.length), byteOffset: 0 };
    return { buffer: batches.buffer, byteOffset: batches.byteOffset };
  }

  private answered(attempt: Attempt, thread: Thread, reply: Reply): void {
    if (thread !== this.thread || !this.forget(attempt)) return;
    const { queued } = attempt;
    const { lane } = queued;
    lane.inFlight--;
    if (queued.kept) {
      lane.past?.add(new Uint8Array(queued.kept, 0, queued.length));
      this.buffers.giveBack(queued.kept);
    }
    if (lane.broken) queued.reject(lane.broken);
    else if (reply.ok === 'run') {
      lane.keep(reply.reply);
      this.log(lane, reply.reply);
      queued.resolve({ ...reply.reply.result, recycled: reply.recycled });
    } else {
      const error =
        reply.ok === null
          ? reply.error
          : { kind: 'internal' as const, code: 'INTERNAL', message: 'a wrong answer', help: undefined };
      const thrown = new MillstreamError(error.kind, error.code, error.message, error.help ? { help: error.help } : {});
      queued.reject(thrown);
      // What comes behind it must not overtake it.
      lane.fail(thrown);
    }
    lane.settled();
    this.dispatch();
  }

  /** The thread ended by itself. */
  private lost(attempt: Attempt, thread: Thread, error: unknown): void {
    if (thread !== this.thread || this.closed || !this.inFlight.includes(attempt)) return;
    const activity = readActivity(thread.cell);
    const reason = error instanceof Error ? error.message : String(error);
    this.host.logger.warn('A worker thread of the sandbox ended by itself.', { reason });
    const outOfMemory = error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
    const failure = outOfMemory
      ? { code: 'MEMORY_LIMIT', reason: `the module made its worker run out of memory: ${reason}` }
      : { code: 'TRAP', reason: `the module made its worker end: ${reason}` };
    this.blame(activity, failure);
    this.replaceThread();
  }

  private limitMs(activity: Activity): number {
    const lane = this.inFlight.find(attempt => attempt.id === activity.task)?.queued.lane;
    const step = lane?.spec.steps[activity.step];
    if (!step) return Number.POSITIVE_INFINITY;
    return activity.phase === PHASE.init ? step.initTimeMs : step.timeMs;
  }

  private stoodStill(activity: Activity, limitMs: number): void {
    const tried = activity.phase === PHASE.init ? 'it' : 'one record';
    const again = activity.phase === PHASE.alone ? ', and again when it ran alone' : '';
    const reason = `${tried} took more than ${limitMs} ms of CPU time${again}`;
    this.blame(activity, { code: 'TIMEOUT', reason });
    this.replaceThread();
  }

  /** Writes down what the thread was doing when it ended; the next attempt at that task knows it. */
  private blame(activity: Activity, failure: { code: string; reason: string }): void {
    const queued = this.inFlight.find(attempt => attempt.id === activity.task)?.queued;
    if (!queued) return;
    const { lane, blame } = queued;
    const step = lane.spec.steps[activity.step];
    if (activity.phase === PHASE.init || activity.phase === PHASE.host || !step) {
      if (activity.phase === PHASE.host && ++queued.attempts < MOST_ATTEMPTS_WITHOUT_BLAME) return;
      this.give(
        queued,
        activity.phase === PHASE.init ? initFailed(step?.name ?? '', failure.reason) : lostForGood(failure),
      );
      return;
    }
    this.offender = lane;
    // Those that come behind it in the other lanes go first now.
    this.turn = [...this.lanes].indexOf(lane) + 1;
    const { first, record, count, origin } = activity;
    if (activity.phase === PHASE.alone) {
      blame.condemned.push({ step: activity.step, ordinal: first, origin, ...failure });
      return;
    }
    const mode = blame.modes[activity.step] ?? MODE.frames;
    const known = record >= 0 && record < count;
    const wasInnocent = blame.suspects.some(
      ({ step: s, ordinal }) =>
        s === activity.step && !blame.condemned.some(each => each.step === s && each.ordinal === ordinal),
    );
    if (known) blame.suspects.push({ step: activity.step, ordinal: first + record });
    if (!known || wasInnocent) blame.modes[activity.step] = Math.min(mode + 1, MODE.fresh);
  }

  /** The whole lane ends with this error. */
  private give(queued: QueuedTask, error: MillstreamError): void {
    const { lane } = queued;
    this.inFlight = this.inFlight.filter(attempt => {
      if (attempt.queued.lane !== lane) return true;
      lane.inFlight--;
      attempt.queued.reject(error);
      return false;
    });
    lane.fail(error);
  }

  private replaceThread(): void {
    const old = this.thread;
    this.thread = this.asNice(this.host.takeSpare());
    this.host.threadsReplaced.add();
    // In reverse to the front of their lanes: the order stays.
    for (const { queued } of this.inFlight.splice(0).toReversed()) {
      queued.lane.inFlight--;
      queued.lane.queue.unshift(queued);
    }
    old.destroy().catch(() => {});
    this.giveUp();
    this.dispatch();
  }

  /** Lanes whose guests have stood still too often go on in a place of their own. */
  private giveUp(): void {
    const { offender } = this;
    this.offender = null;
    if (!offender) return;
    const key = chainKey(offender.spec);
    const own = [...this.lanes].filter(lane => chainKey(lane.spec) === key);
    // Where there is nobody else, nobody is kept up.
    const to = own.length < this.lanes.size ? this.host.offended(offender.spec) : null;
    if (!to) return;
    for (const lane of own) {
      this.lanes.delete(lane);
      lane.moveTo(to);
    }
  }

  private asNice(thread: Thread): Thread {
    if (this.nice > 0) thread.run({ kind: 'nice', task: 0, nice: this.nice }).catch(() => {});
    return thread;
  }

  private forget(attempt: Attempt): boolean {
    const at = this.inFlight.indexOf(attempt);
    if (at >= 0) this.inFlight.splice(at, 1);
    return at >= 0;
  }

  private log(
    lane: SlotLane,
    reply: { logs: { step: string; level: number; line: string }[]; logsLost: number },
  ): void {
    const { logger } = this.host;
    const levels = ['debug', 'info', 'warn', 'error'] as const;
    const { pipeline, source } = lane.spec;
    for (const said of reply.logs) {
      const { step, level, line } = said;
      lane.spec.onLine?.(said);
      logger[levels[level] ?? 'info'](line, { pipeline, step, partition: source.partition });
    }
    if (reply.logsLost > 0)
      logger.warn('A module logs too much; lines were left out.', { pipeline, lines: reply.logsLost });
  }
}

function lostForGood(failure: { reason: string }): MillstreamError {
  return new MillstreamError(
    'internal',
    'WORKER_LOST',
    `a task ended its worker thread again and again: ${failure.reason}`,
  );
}
