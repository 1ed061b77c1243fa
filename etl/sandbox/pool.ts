import { availableParallelism } from 'node:os';
import type { Clock, Timer } from '../../core/base/clock.ts';
import type { Logger } from '../../core/base/logger.ts';
import type { Metrics } from '../../core/base/metrics.ts';
import { chainKey } from './chain-key.ts';
import { closed } from './errors.ts';
import { SlotLane } from './lane.ts';
import { ModuleCompiler } from './module-compiler.ts';
import type { ChainSpec, Lane, LaneState, Sandbox, StoredModule } from './sandbox.ts';
import { Slot, type SlotHost } from './slot.ts';
import { Thread } from './thread.ts';

export interface SandboxOptions {
  clock: Clock;
  logger: Logger;
  metrics: Metrics;
  /** Worker threads; left out: max(1, cores - 1). */
  workers?: number;
  /** Where this process keeps its compile cache (the folder that was given to `module.enableCompileCache`, or what
   * `module.getCompileCacheDir()` is in): with it a worker starts in a third of the CPU time. Left out: none. */
  compileCache?: string;
}

/** The spare leaves the processor to the start of everything else. */
const SPARE_AFTER_MS = 1000;
/** And, where it is the successor of one that was needed, to the records that wait for that one. */
const NEXT_SPARE_AFTER_MS = 25;

/** Kills after which a chain gets a thread of its own. */
const MOST_KILLS = 2;
/** How far a chain that stands still is behind the others where there are too few processors (Linux). */
const NICE = 10;

const NO_STATE: LaneState = { batches: [], partitions: 1, entries: null };

/** Starts the worker threads and, a little later, the warm spare. */
export function openSandbox(options: SandboxOptions): Sandbox {
  return new SlotSandbox(options);
}

class SlotSandbox implements Sandbox, SlotHost {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly threadsReplaced;
  private readonly compileCache: string | null;
  private readonly slots: Slot[];
  /** Kills of chains, and where those with too many run, by chainKey. */
  private readonly kills = new Map<string, number>();
  private readonly apart = new Map<string, Slot>();
  private readonly compiler: ModuleCompiler;
  /** Warm threads that nothing runs in: one, and a second one while a chain may soon need a place of its own. */
  private readonly spares: Thread[] = [];
  private spareTimer: Timer;
  private lanes = 0;
  private isClosed = false;

  constructor(options: SandboxOptions) {
    this.clock = options.clock;
    this.logger = options.logger;
    this.compileCache = options.compileCache ?? null;
    this.threadsReplaced = options.metrics.counter(
      'millstream_sandbox_threads_replaced_total',
      'Worker threads that were replaced because a module stood still or ended them',
    );
    const workers = options.workers ?? Math.max(1, availableParallelism() - 1);
    this.slots = Array.from({ length: workers }, () => new Slot(this, this.newThread()));
    this.spareTimer = this.clock.setTimer(SPARE_AFTER_MS, () => this.makeSpares());
    this.compiler = new ModuleCompiler(options.clock, () => this.newThread());
  }

  async probe(chain: ChainSpec): Promise<void> {
    if (this.isClosed) throw closed();
    try {
      await this.compiler.start(chain);
    } catch (error) {
      this.compiler.forget(chain);
      throw error;
    }
  }

  async check(module: StoredModule): Promise<void> {
    if (this.isClosed) throw closed();
    await this.compiler.check(module);
  }

  openLane(spec: ChainSpec, state?: LaneState): Lane {
    if (this.isClosed) throw closed();
    const slot =
      this.apart.get(chainKey(spec)) ?? this.slots.reduce((least, s) => (s.lanes.size < least.lanes.size ? s : least));
    const lane = new SlotLane(
      ++this.lanes,
      spec,
      slot,
      () => this.clock.now(),
      () => this.compiler.release(spec),
      state ?? (spec.steps.some(step => step.module.state) ? NO_STATE : null),
    );
    slot.add(lane);
    this.compiler.hold(spec);
    this.compiler.chain(spec).then(
      chain => lane.ready(chain),
      (error: Error) => lane.fail(error),
    );
    return lane;
  }

  offended(chain: ChainSpec): Slot | null {
    const key = chainKey(chain);
    const kills = (this.kills.get(key) ?? 0) + 1;
    this.kills.set(key, kills);
    if (kills < MOST_KILLS) return null;
    let slot = this.apart.get(key);
    if (!slot) {
      this.logger.warn('A worker was killed for this pipeline more than once: it goes on in one of its own.', {
        pipeline: chain.pipeline,
      });
      slot = new Slot(this, this.takeSpare(), NICE);
      this.apart.set(key, slot);
    }
    return slot;
  }

  emptied(slot: Slot): void {
    for (const [key, each] of this.apart) {
      if (each !== slot) continue;
      this.apart.delete(key);
      this.kills.delete(key);
      void slot.close(closed());
    }
  }

  takeSpare(): Thread {
    let spare = this.spares.shift();
    while (spare?.isLost) spare = this.spares.shift();
    this.spareTimer.cancel();
    this.spareTimer = this.clock.setTimer(NEXT_SPARE_AFTER_MS, () => this.makeSpares());
    return spare ?? this.newThread();
  }

  private makeSpares(): void {
    const mayPart = [...this.kills.values()].some(kills => kills === MOST_KILLS - 1);
    while (!this.isClosed && this.spares.length < (mayPart ? 2 : 1)) this.spares.push(this.newThread());
  }

  private newThread(): Thread {
    return new Thread(this.compileCache);
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    this.spareTimer.cancel();
    const error = closed();
    const slots = [...this.slots, ...this.apart.values()];
    const spares = this.spares.map(spare => spare.destroy());
    await Promise.all([...slots.map(slot => slot.close(error)), ...spares, this.compiler.close()]);
  }
}
