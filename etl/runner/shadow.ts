import type { Logger } from '../../core/base/logger.ts';
import type { Counter, Metrics } from '../../core/base/metrics.ts';
import type { Random } from '../../core/base/random.ts';
import type { ChainStep, Lane, LaneTask, TaskResult } from '../sandbox/sandbox.ts';
import { type Ends, endsByOffset } from './shadow-ends.ts';

/** A module that is tried beside the one that does a step's work. */
export interface ShadowPlan {
  /** Index of the step. */
  step: number;
  with: ChainStep;
  /** Which part of the tasks, above 0 and at most 1. */
  sample: number;
}

export interface Difference {
  partition: number;
  offset: number;
  /** What came of the source record; of outputs key, value, headers as text, of failures the code. */
  now: Ends;
  shadow: Ends;
}

export interface ShadowReport {
  module: string;
  version: string;
  sha256: string;
  sample: number;
  /** Source records that both have seen. */
  records: number;
  different: number;
  /** Tasks that were chosen while the one before was still under way. */
  skipped: number;
  /** Why it does not run; null: it does. */
  error: string | null;
  /** The newest differences, at most five. */
  last: Difference[];
}

const KEPT = 5;

/** What one shadow has found out, over all partitions. */
export class Shadow {
  readonly plan: ShadowPlan;
  private readonly random: Random;
  private readonly logger: Logger;
  private readonly same: Counter;
  private readonly other: Counter;
  private readonly found: Omit<ShadowReport, 'module' | 'version' | 'sha256' | 'sample'> = {
    records: 0,
    different: 0,
    skipped: 0,
    error: null,
    last: [],
  };

  constructor(plan: ShadowPlan, pipeline: string, options: { random: Random; logger: Logger; metrics: Metrics }) {
    this.plan = plan;
    this.random = options.random;
    this.logger = options.logger;
    const counter = (result: string): Counter =>
      options.metrics.counter('millstream_shadow_records_total', 'Records that a shadow has seen too, by result', {
        pipeline,
        step: plan.with.name,
        result,
      });
    this.same = counter('same');
    this.other = counter('different');
  }

  get report(): ShadowReport {
    const { with: step, sample } = this.plan;
    const { name: module, version, sha256 } = step.module;
    return { module, version, sha256, sample, ...this.found, last: [...this.found.last] };
  }

  wants(): boolean {
    return this.random.float() < this.plan.sample;
  }

  skipped(): void {
    this.found.skipped++;
  }

  failed(reason: string): void {
    if (this.found.error === null) this.logger.warn(`the shadow of step ${this.plan.with.name} ended: ${reason}`);
    this.found.error = reason;
  }

  compare(now: TaskResult, shadow: TaskResult, outputs: readonly string[], partition: number): void {
    const { found } = this;
    if (shadow.stopped) this.failed(`${shadow.stopped.code}, ${shadow.stopped.reason}`);
    const [was, is] = [endsByOffset(now, outputs), endsByOffset(shadow, outputs)];
    // Where one of them has stopped, the other has seen more.
    const end = Math.min(now.stopped?.offset ?? Infinity, shadow.stopped?.offset ?? Infinity);
    let different = 0;
    for (const offset of new Set([...was.keys(), ...is.keys()])) {
      if (offset >= end) continue;
      const [before, after] = [was.get(offset) ?? [], is.get(offset) ?? []];
      if (JSON.stringify(before) === JSON.stringify(after)) continue;
      different++;
      if (found.different === 0 && different === 1) {
        this.logger.warn(`the shadow of step ${this.plan.with.name} differs`, { partition, offset });
      }
      found.last = [...found.last.slice(1 - KEPT), { partition, offset, now: before, shadow: after }];
    }
    const records = Math.min(now.records, shadow.records);
    found.records += records;
    found.different += different;
    this.same.add(Math.max(0, records - different));
    this.other.add(different);
  }
}

/**
 * A lane beside which, for some of its tasks, another runs on the same records and is compared with it. What the other makes
 * goes nowhere, and nobody waits for it: a task that is chosen too early is passed over.
 */
export class ShadowedLane implements Lane {
  private readonly lane: Lane;
  private readonly beside: readonly { shadow: Shadow; lane: Lane }[];
  private readonly outputs: readonly string[];
  private readonly partition: number;
  private readonly busy = new Set<Shadow>();
  private isClosed = false;

  constructor(
    lane: Lane,
    beside: readonly { shadow: Shadow; lane: Lane }[],
    outputs: readonly string[],
    partition: number,
  ) {
    this.lane = lane;
    this.beside = beside;
    this.outputs = outputs;
    this.partition = partition;
  }

  run(task: LaneTask): Promise<TaskResult> {
    const chosen = task.batches.length === 0 ? [] : this.beside.filter(({ shadow }) => this.chooses(shadow));
    // The lane gives the buffer away.
    const copies = chosen.map(() => task.batches.slice());
    const done = this.lane.run(task);
    for (const [i, { shadow, lane }] of chosen.entries()) {
      const batches = copies[i] as Uint8Array<ArrayBuffer>;
      this.busy.add(shadow);
      void this.tryBeside(shadow, lane, { ...task, batches, samples: 0 }, done).finally(() => this.busy.delete(shadow));
    }
    return done;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all([this.lane.close(), ...this.beside.map(({ lane }) => lane.close().catch(() => {}))]);
  }

  private chooses(shadow: Shadow): boolean {
    if (this.isClosed || !shadow.wants()) return false;
    if (!this.busy.has(shadow)) return true;
    shadow.skipped();
    return false;
  }

  private async tryBeside(shadow: Shadow, lane: Lane, task: LaneTask, done: Promise<TaskResult>): Promise<void> {
    const [now, other] = await Promise.allSettled([done, lane.run(task)]);
    if (this.isClosed || now.status === 'rejected') return;
    if (other.status === 'fulfilled') shadow.compare(now.value, other.value, this.outputs, this.partition);
    else shadow.failed(other.reason instanceof Error ? other.reason.message : String(other.reason));
  }
}
