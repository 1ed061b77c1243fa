import { closed } from './errors.ts';
import {
  type Blame,
  type ChainMessage,
  FRESH_MEMORY,
  type OpenMessage,
  type RunReply,
  type StepMemory,
} from './messages.ts';
import { type PastBatches, pastOf } from './past-batches.ts';
import type { ChainSpec, Lane, LaneState, LaneTask, TaskResult } from './sandbox.ts';
import type { Slot } from './slot.ts';
import { KeptState } from './state/kept-state.ts';
import type { Thread } from './thread.ts';

/** A task from the moment it is handed in until it is answered, over as many attempts as it takes. */
export interface QueuedTask {
  lane: SlotLane;
  task: LaneTask;
  /** For dead letters: the same in every attempt. */
  at: number;
  blame: Blame;
  /** The thread may be killed with the task's bytes; this copy starts the next attempt. */
  kept: ArrayBuffer | null;
  length: number;
  attempts: number;
  resolve(result: TaskResult): void;
  reject(error: unknown): void;
}

/** One step chain on one source partition: a queue in front of its slot. */
export class SlotLane implements Lane {
  readonly id: number;
  readonly spec: ChainSpec;
  readonly queue: QueuedTask[] = [];
  /** Null until the modules are compiled. */
  chain: ChainMessage | null = null;
  /** As of the last answered task. */
  memory: StepMemory[];
  /** The same of what the steps keep; null: none keeps any. */
  private readonly state: KeptState | null;
  /** Where the lane's instances live. */
  openIn: Thread | null = null;
  inFlight = 0;
  /** Of answered tasks, for steps that look back. */
  readonly past: PastBatches | null;
  private slot: Slot;
  private readonly now: () => number;
  private readonly whenClosed: () => void;
  /** Why nothing runs here any more. */
  broken: Error | null = null;
  private closing: Promise<void> | null = null;
  private whenEmpty: (() => void) | null = null;

  constructor(
    id: number,
    spec: ChainSpec,
    slot: Slot,
    now: () => number,
    whenClosed: () => void,
    state: LaneState | null = null,
  ) {
    this.state = state && new KeptState(state);
    this.id = id;
    this.spec = spec;
    this.slot = slot;
    this.now = now;
    this.whenClosed = whenClosed;
    this.memory = spec.steps.map(() => FRESH_MEMORY);
    this.past = pastOf(spec.steps.map(step => step.lookBack));
  }

  /** Nothing of it is under way: from now on it goes on there. */
  moveTo(slot: Slot): void {
    this.slot = slot;
    slot.add(this);
    slot.dispatch();
  }

  /** The modules are there: tasks may go. */
  ready(chain: ChainMessage): void {
    this.chain = chain;
    this.slot.dispatch();
  }

  run(task: LaneTask): Promise<TaskResult> {
    return new Promise((resolve, reject) => {
      if (this.broken) return reject(this.broken);
      if (this.closing) return reject(closed());
      const blame = { suspects: [], condemned: [], modes: [] };
      this.queue.push({ lane: this, task, at: this.now(), blame, kept: null, length: 0, attempts: 0, resolve, reject });
      this.slot.dispatch();
    });
  }

  close(): Promise<void> {
    this.closing ??= new Promise(resolve => {
      this.whenEmpty = () => {
        this.whenEmpty = null;
        this.slot.remove(this);
        this.whenClosed();
        resolve();
      };
      this.settled();
    });
    return this.closing;
  }

  /** What the lane's instances start from in another thread. */
  openMessage(): OpenMessage | null {
    const { chain, memory, state, past } = this;
    return chain && { chain, memory, state: state?.all ?? null, past: past?.bytes() ?? null };
  }

  /** A task was answered: from here on another thread would go on. */
  keep({ memory, snapshot, result: { state } }: RunReply): void {
    this.memory = memory;
    if (state) this.state?.add(state, snapshot);
  }

  /** Nothing runs any more: all that waits is rejected. */
  fail(error: Error): void {
    this.broken ??= error;
    for (const queued of this.queue.splice(0)) queued.reject(error);
    this.settled();
  }

  /** A task was answered. */
  settled(): void {
    if (this.queue.length === 0 && this.inFlight === 0) this.whenEmpty?.();
  }
}
