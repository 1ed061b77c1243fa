import { CELL } from './cell.ts';
import { deadBatch, type Letter } from './dead-letters.ts';
import { FrameHelper, type Table } from './frame-helper/frame-helper.ts';
import {
  type ChainMessage,
  FRESH_MEMORY,
  type LogLine,
  type OpenMessage,
  type RunMessage,
  type RunReply,
} from './messages.ts';
import type { StepCounts, StepSample, TaskResult } from './sandbox.ts';
import { sampleAfter, sampleBefore } from './samples.ts';
import { type PastBatches, pastOf } from './past-batches.ts';
import { ChainState } from './state/changelog.ts';
import { timerKey } from './state/step-state.ts';
import { timersTable } from './state/timers.ts';
import { StepRunner } from './step-runner.ts';
import { refusals, storedBatch } from './stored-batch.ts';
import { listRecords, type Unreadable } from './task-input.ts';
import { endsOf, finishedBatches } from './task-output.ts';
import { Stop } from './verdicts.ts';

const LOG_LINES_PER_SECOND = 100;
/** A helper that has grown beyond this for one big task is not kept. */
const HELPER_KEEP_BYTES = 64 * 1024 * 1024;

export interface WorkerShared {
  helper: FrameHelper;
  cell: Int32Array;
  /** Milliseconds that never go back. */
  now(): number;
}

type Outcome = Omit<TaskResult, 'recycled' | 'state'>;

/** One lane inside its worker: the chain's instances, and the tasks run through them one after the other. */
export class WorkerLane {
  private readonly chain: ChainMessage;
  private readonly shared: WorkerShared;
  private readonly steps: StepRunner[];
  /** null: no step keeps any. */
  private readonly state: ChainState | null;
  /** What steps that look back are shown; null: none does. */
  private readonly past: PastBatches | null;
  /** Once stopped, nothing more runs: the records behind belong to whoever mends it. */
  private stopped: TaskResult['stopped'] = null;
  private logs: LogLine[] = [];
  private logsLost = 0;
  private logSecond = 0;
  private logCount = 0;

  constructor(open: OpenMessage, shared: WorkerShared) {
    this.chain = open.chain;
    this.shared = shared;
    this.state = stateOf(open);
    this.steps = open.chain.steps.map((step, i) => {
      const memory = open.memory[i] ?? FRESH_MEMORY;
      const state = this.state?.steps.get(step.name) ?? null;
      const log = (level: number, line: string): void => this.log(step.name, level, line);
      return new StepRunner(i, step, memory, state, shared, log, (...at) => this.past?.before(...at) ?? []);
    });
    this.past = pastOf(open.chain.steps.map(step => step.setup.lookBack));
    if (open.past) this.past?.add(open.past);
  }

  /** Instantiates every module. */
  async start(): Promise<void> {
    for (const step of this.steps) await step.start();
  }

  /** The instances are not needed any more. */
  close(): void {
    for (const step of this.steps) step.close();
  }

  async run(message: RunMessage, batches: Uint8Array): Promise<RunReply> {
    const { shared } = this;
    if (shared.helper.memory.length > HELPER_KEEP_BYTES) shared.helper = new FrameHelper();
    shared.cell[CELL.task] = message.task;
    this.logs = [];
    this.logsLost = 0;
    const before = this.steps.map(({ memory }) => ({ ...memory }));
    const mark = this.state?.mark();
    let result = this.stopped ? this.nothing() : await this.attempt(message, batches, Number.POSITIVE_INFINITY);
    while (result instanceof Stop) {
      // What comes before the record goes out; the same again without it and what follows gives exactly that.
      const stop: Stop = result;
      this.steps.forEach(({ memory }, i) => {
        memory.failuresInARow = before[i]?.failuresInARow ?? 0;
      });
      if (mark) this.state?.rollBack(mark);
      this.stopped = { step: stop.step, offset: stop.offset, ...stop.failure };
      result = await this.attempt(message, batches, stop.origin);
    }
    const state = this.state?.changes(message.at) ?? null;
    return {
      result: { ...result, stopped: this.stopped, state },
      snapshot: this.state?.snapshot(message.at) ?? null,
      memory: this.steps.map(step => ({ ...step.memory })),
      logs: this.logs,
      logsLost: this.logsLost,
    };
  }

  /** Runs the records whose origin is below `end`. */
  private async attempt(message: RunMessage, batches: Uint8Array, end: number): Promise<Outcome | Stop> {
    const { chain } = this;
    const { helper } = this.shared;
    helper.reset();
    this.past?.add(batches);
    const tick = end === Number.POSITIVE_INFINITY ? (message.tick ?? null) : null;
    const { table: source, unreadable } =
      typeof message.tick === 'number'
        ? { table: tickTable(helper, message), unreadable: [] }
        : listRecords(helper, batches, message.from);
    if (chain.beforeStored && unreadable.length > 0) {
      return { ...this.nothing(), ...this.toStore(batches, null, [], unreadable) };
    }
    source.count = Math.min(source.count, end);
    const counts: StepCounts[] = [];
    const letters: Letter[] = [];
    const passed = new Set<number>();
    const samples: StepSample[] = [];
    let input = source;
    let left: Table | null = chain.steps.length === 0 ? source : null;
    try {
      for (const [i, runner] of this.steps.entries()) {
        const last = i === chain.steps.length - 1;
        const next = helper.newTable(last ? 0 : input.count);
        const here = helper.newTable(last ? input.count : 16);
        const before = sampleBefore(helper, input, message.samples);
        const started = this.shared.now();
        const done = await runner.process({
          input,
          next,
          left: here,
          last,
          routes: chain.outputs.length,
          partition: chain.source.partition,
          blame: message.blame,
          ...(i === 0 && { unreadable }),
          tick,
          tickOffset: message.from,
        });
        done.counts.nanoseconds = Math.round((this.shared.now() - started) * 1e6);
        counts.push(done.counts);
        samples.push(...sampleAfter(helper, runner.step.name, before, [next, here], done.failed, chain.outputs));
        if (runner.step.onError === 'dead_letter') {
          for (const failure of done.failed)
            letters.push({ step: i, entry: helper.entry(input, failure.index), failure });
          for (const failed of done.failedTimers) letters.push({ step: i, ...failed });
        } else if (runner.step.onError === 'pass') {
          for (const { index } of done.failed) passed.add(helper.originOf(input, index));
        }
        if (here.count > 0) left = left ? helper.merge(left, here) : here;
        input = next;
      }
    } catch (error) {
      if (error instanceof Stop) return error;
      throw error;
    }
    if (chain.beforeStored) return { ...this.nothing(), steps: counts, ...this.toStore(batches, left, letters, []) };
    const outputs = left ? finishedBatches(helper, left, chain) : [];
    const dead = deadBatch(helper, source, letters, chain, message.at);
    if (typeof message.tick === 'number') {
      // No source record is at its beginning.
      const unknown = outputs.map(output => ({ ...output, origins: null }));
      return { ...this.nothing(), outputs: unknown, dead, steps: counts, stopped: null };
    }
    return {
      records: source.count,
      ends: endsOf(helper, source.count, left, passed, new Set(letters.map(({ entry }) => entry.origin))),
      outputs,
      dead,
      steps: counts,
      samples,
      stopped: null,
    };
  }

  /** The batch as it is to be stored, and what speaks against storing it. */
  private toStore(
    batch: Uint8Array,
    left: Table | null,
    letters: Letter[],
    unreadable: Unreadable[],
  ): Pick<Outcome, 'outputs' | 'dead'> {
    const { steps } = this.chain;
    const { output, tooMany } = storedBatch(this.shared.helper, left, batch);
    const told = steps.at(-1)?.onError === 'drop' ? [] : tooMany;
    const reasons = refusals(steps, { letters, tooMany: told, unreadable });
    return { outputs: [output], dead: reasons.length > 0 ? { batch: new Uint8Array(0), letters: reasons } : null };
  }

  private nothing(): Outcome {
    const none = { in: 0, emitted: 0, dropped: 0, passed: 0, dead: 0, out: 0, nanoseconds: 0 };
    const steps = this.steps.map(() => ({ ...none }));
    return {
      records: 0,
      ends: { emitted: 0, dropped: 0, passed: 0, dead: 0 },
      outputs: [],
      dead: null,
      steps,
      samples: [],
      stopped: this.stopped,
    };
  }

  private log(step: string, level: number, line: string): void {
    const second = Math.floor(this.shared.now() / 1000);
    if (second !== this.logSecond) {
      this.logSecond = second;
      this.logCount = 0;
    }
    if (++this.logCount > LOG_LINES_PER_SECOND) this.logsLost++;
    else this.logs.push({ step, level, line });
  }
}

function stateOf({ chain, state }: OpenMessage): ChainState | null {
  const partitions = state?.partitions ?? 1;
  const specs = chain.steps.flatMap(({ name, state: own }) => (own ? { step: name, partitions, ...own } : []));
  return specs.length > 0 ? new ChainState(specs, state?.batches ?? [], state?.entries ?? null) : null;
}

/** What stands for the source record of a tick: nothing, at the offset and the time of the tick. */
function tickTable(helper: FrameHelper, { from, tick }: RunMessage): Table {
  const table = timersTable(helper, [timerKey(tick ?? 0, '')], { origin: 0, offset: from });
  return { ...table, count: 0 };
}
