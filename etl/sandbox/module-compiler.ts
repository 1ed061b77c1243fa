import type { Clock, Timer } from '../../core/base/clock.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import { closed } from './errors.ts';
import { setupOf } from './guest-setup.ts';
import { coreOf, inspect } from './inspect.ts';
import { instrument } from './instrument.ts';
import type { ChainMessage, Reply, WorkerMessage } from './messages.ts';
import { refused } from './errors.ts';
import type { ChainSpec, ChainStep, StoredModule } from './sandbox.ts';
import type { Thread } from './thread.ts';
import { Watchdog } from './watchdog.ts';

const DEFAULT_STATE_BYTES = 64 * 1024 * 1024;
/** The worker serves several modules when they come together. */
const KEEP_IDLE_MS = 1000;
/** A module that is deployed: the most that a step may give it, and the time a step gives it to start. */
const CHECK_MEMORY_BYTES = 4 * 1024 ** 3 - 65_536;
const CHECK_TIME_MS = 10_000;

/**
 * Compiles and tries modules in a worker that is thrown away afterwards: whatever a hostile module does to its compiler
 * or in its start function, no lane notices. Compiled modules are kept as long as a lane holds them.
 */
export class ModuleCompiler {
  private readonly clock: Clock;
  private readonly newThread: () => Thread;
  private readonly compiled = new Map<string, Promise<WebAssembly.Module>>();
  private readonly holders = new Map<string, number>();
  private thread: Thread | null = null;
  private idle: Timer | null = null;
  private turn: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(clock: Clock, newThread: () => Thread) {
    this.clock = clock;
    this.newThread = newThread;
  }

  /** The chain as workers get it. */
  async chain(spec: ChainSpec): Promise<ChainMessage> {
    const { pipeline, outputs, source } = spec;
    const modules = await Promise.all(spec.steps.map(step => this.compile(step)));
    const steps = spec.steps.map((step, i) => ({
      name: step.name,
      module: modules[i] as WebAssembly.Module,
      sha256: step.module.sha256,
      abi: step.module.abi,
      setup: setupOf(spec, step, hasFuel(step) ? fuelExportOf(modules[i] as WebAssembly.Module) : null),
      onError: step.onError,
      state: stateOf(step),
      maxFailuresInARow: step.maxFailuresInARow,
      traces: step.traces ?? false,
      secrets: step.secrets ?? [],
    }));
    return { pipeline, steps, outputs, source, beforeStored: spec.beforeStored ?? false };
  }

  /** Compiles and starts the chain once, and throws away what came of it. */
  async start(spec: ChainSpec): Promise<void> {
    const chain = await this.chain(spec);
    const limitMs = Math.max(...spec.steps.map(step => step.initTimeMs), 0);
    await this.inThrowAway({ kind: 'start', task: 1, chain }, limitMs, `the chain of pipeline "${spec.pipeline}"`);
  }

  /** Compiles it, and throws away what came of it. */
  async check(module: StoredModule): Promise<void> {
    await this.compileNow({ module, memoryBytes: CHECK_MEMORY_BYTES, initTimeMs: CHECK_TIME_MS });
  }

  hold(spec: ChainSpec): void {
    for (const step of spec.steps) this.holders.set(keyOf(step), (this.holders.get(keyOf(step)) ?? 0) + 1);
  }

  release(spec: ChainSpec): void {
    for (const key of spec.steps.map(keyOf)) {
      const left = (this.holders.get(key) ?? 1) - 1;
      if (left > 0) this.holders.set(key, left);
      else {
        this.holders.delete(key);
        this.compiled.delete(key);
      }
    }
  }

  /** What no lane holds is not kept for one. */
  forget(spec: ChainSpec): void {
    for (const key of spec.steps.map(keyOf)) if (!this.holders.has(key)) this.compiled.delete(key);
  }

  async close(): Promise<void> {
    this.closed = true;
    this.idle?.cancel();
    await this.thread?.destroy();
  }

  private compile(step: ChainStep): Promise<WebAssembly.Module> {
    const key = keyOf(step);
    let compiling = this.compiled.get(key);
    if (!compiling) {
      compiling = this.compileNow(step);
      this.compiled.set(key, compiling);
      compiling.catch(() => this.compiled.delete(key));
    }
    return compiling;
  }

  private async compileNow(
    step: Pick<ChainStep, 'module' | 'memoryBytes' | 'initTimeMs' | 'fuel'>,
  ): Promise<WebAssembly.Module> {
    inspect(step.module.bytes);
    const bytes = instrument(coreOf(step.module.bytes), step.memoryBytes);
    const reply = await this.inThrowAway(
      { kind: 'compile', task: 1, bytes, hasFuel: hasFuel(step) },
      step.initTimeMs,
      `module ${step.module.name}`,
    );
    if (reply.ok !== 'compiled') throw new MillstreamError('internal', 'INTERNAL', 'the compiler gave no module');
    return reply.module;
  }

  /** One after the other, in a worker that runs nothing else. */
  private inThrowAway(message: WorkerMessage, limitMs: number, what: string): Promise<Reply> {
    const mine = this.turn.then(() => this.run(message, limitMs, what));
    this.turn = mine.then(
      () => {},
      () => {},
    );
    return mine;
  }

  private async run(message: WorkerMessage, limitMs: number, what: string): Promise<Reply> {
    if (this.closed) throw closed();
    this.idle?.cancel();
    const thread = (this.thread ??= this.newThread());
    let timedOut = false;
    const watchdog = new Watchdog({
      clock: this.clock,
      thread: () => thread,
      limitMs: () => limitMs,
      stoodStill: () => {
        timedOut = true;
        thread.destroy().catch(() => {});
      },
    });
    try {
      watchdog.start();
      const reply = await thread.run(message);
      this.idle = this.clock.setTimer(KEEP_IDLE_MS, () => this.throwAway());
      if (reply.ok !== null) return reply;
      const { kind, code, message: text, help } = reply.error;
      if (message.kind === 'compile' && code !== 'MODULE_REFUSED') throw refused(`it does not compile: ${text}`);
      throw new MillstreamError(kind, code, text, help ? { help } : {});
    } catch (error) {
      if (error instanceof MillstreamError) throw error;
      this.throwAway();
      if (this.closed) throw closed();
      if (!timedOut)
        throw new MillstreamError('invalid', 'MODULE_INIT_FAILED', `${what} ended its worker`, { cause: error });
      const sentence = `${what} was not ready after ${limitMs} ms of CPU time`;
      throw new MillstreamError('invalid', 'MODULE_INIT_FAILED', sentence, { cause: error });
    } finally {
      watchdog.stop();
    }
  }

  private throwAway(): void {
    this.thread?.destroy().catch(() => {});
    this.thread = null;
  }
}

function stateOf({ module, stateBytes }: ChainStep): ChainMessage['steps'][number]['state'] {
  return module.state ? { ...module.state, limitBytes: stateBytes ?? DEFAULT_STATE_BYTES } : null;
}

const hasFuel = ({ fuel }: Pick<ChainStep, 'fuel'>): boolean => typeof fuel === 'number';

/** How much fuel it is is none of the code's business: the host fills it. */
function keyOf(step: ChainStep): string {
  return `${step.module.sha256}/${step.memoryBytes}${hasFuel(step) ? '/fuel' : ''}`;
}

/** Where a module that counts keeps what is left: it was given its last export for that. */
const fuelExportOf = (module: WebAssembly.Module): string => WebAssembly.Module.exports(module).at(-1)?.name ?? '';
