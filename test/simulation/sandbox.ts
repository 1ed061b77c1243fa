import { readFileSync } from 'node:fs';
import type { Random } from '../../core/base/random.ts';
import { CELL_BYTES } from '../../etl/sandbox/cell.ts';
import { FrameHelper } from '../../etl/sandbox/frame-helper/frame-helper.ts';
import { setupOf } from '../../etl/sandbox/guest-setup.ts';
import { instrument } from '../../etl/sandbox/instrument.ts';
import type { ChainMessage, RunMessage, RunReply } from '../../etl/sandbox/messages.ts';
import type { ChainSpec, Lane, LaneTask, Sandbox, StoredModule, TaskResult } from '../../etl/sandbox/sandbox.ts';
import { KeptState } from '../../etl/sandbox/state/kept-state.ts';
import { WorkerLane, type WorkerShared } from '../../etl/sandbox/worker-lane.ts';
import { assemble, guestText, moduleOf } from '../etl/sandbox/guests.ts';
import type { Life } from './life.ts';

/* Real modules, run by what runs inside a worker, on this thread: no other thread has a say in the order of things. */

/** Small, since each life has six of them, and memory of guests makes V8 collect garbage. */
const OUTPUT_AT = 256 * 1024;

export const PASSTHROUGH = moduleOf(readFileSync('modules/passthrough/passthrough.wasm'), 'passthrough');
/** Acts on the first character of a value, as `checker/model.ts` tells. */
export const SORT = moduleOf(assemble(guestText({ outputAt: OUTPUT_AT })), 'sort');
/** Small letters: what `sort` has doubled passes. */
export const SIFT = moduleOf(
  assemble(
    guestText({
      outputAt: OUTPUT_AT,
      special: `
        (if (i32.eq (local.get $kind) (i32.const 50)) (then (local.set $kind (i32.const 0))))
        (if (i32.eq (local.get $kind) (i32.const 100)) (then (local.set $kind (i32.const 68))))
        (if (i32.eq (local.get $kind) (i32.const 114)) (then (local.set $kind (i32.const 82))))
        (if (i32.eq (local.get $kind) (i32.const 102)) (then (local.set $kind (i32.const 70))))`,
    }),
  ),
  'sift',
);

/** Compiled once for all runs. */
const compiled = new Map<string, WebAssembly.Module>();

function compile(module: StoredModule, memoryBytes: number): WebAssembly.Module {
  let made = compiled.get(module.sha256);
  if (!made) {
    made = new WebAssembly.Module(instrument(module.bytes, memoryBytes));
    compiled.set(module.sha256, made);
  }
  return made;
}

export function inProcessSandbox(life: Life, random: Random): Sandbox {
  const shared: WorkerShared = {
    helper: new FrameHelper(),
    cell: new Int32Array(new SharedArrayBuffer(CELL_BYTES)),
    now: () => life.clock.monotonic(),
  };
  let turn: Promise<unknown> = Promise.resolve();
  return {
    async probe(chain) {
      await new WorkerLane({ chain: messageOf(chain), memory: [], past: null }, shared).start();
    },
    openLane: (spec, state) => {
      const chain = messageOf(spec);
      // As SlotLane keeps it.
      const kept = state ? new KeptState(state) : null;
      const open = (): WorkerLane =>
        new WorkerLane({ chain, memory: [], state: kept?.all ?? null, past: null }, shared);
      let lane = open();
      // As in a worker, one task at a time: they share what frames are made in.
      const inTurn = (message: RunMessage, batches: Uint8Array): Promise<RunReply> => {
        const mine = turn.then(async () => {
          const reply = await lane.run(message, batches);
          if (!kept || !reply.result.state) return reply;
          kept.add(reply.result.state, reply.snapshot);
          // Now and then the thread is gone, and the next one begins with what is kept.
          if (random.float() < 0.1) lane = open();
          return reply;
        });
        turn = mine.catch(() => {});
        return mine;
      };
      return new InProcessLane(inTurn, life, random);
    },
    async check(module) {
      compile(module, 64 * 1024 * 1024);
    },
    async close() {},
  };
}

class InProcessLane implements Lane {
  private readonly inTurn: WorkerLane['run'];
  private readonly life: Life;
  private readonly random: Random;
  private last: Promise<unknown> = Promise.resolve();

  constructor(inTurn: WorkerLane['run'], life: Life, random: Random) {
    this.inTurn = inTurn;
    this.life = life;
    this.random = random;
  }

  run(task: LaneTask): Promise<TaskResult> {
    const mine = this.last.then(() => this.runNow(task));
    this.last = mine.catch(() => {});
    return mine;
  }

  async close(): Promise<void> {
    await this.last;
  }

  private async runNow({ batches, from, samples, tick }: LaneTask): Promise<TaskResult> {
    await this.life.turns(1 + Math.floor(this.random.float() * 3));
    await this.life.unlessOver();
    const { buffer, byteOffset, length } = batches;
    const at = this.life.clock.now();
    const blame = { suspects: [], condemned: [], modes: [] };
    const message = {
      kind: 'run',
      task: 1,
      lane: 1,
      open: null,
      buffer,
      byteOffset,
      length,
      from,
      samples,
      tick: tick ?? null,
      at,
      blame,
    } as const;
    return { ...(await this.inTurn(message, batches)).result, recycled: null };
  }
}

function messageOf(spec: ChainSpec): ChainMessage {
  const { pipeline, steps, outputs, source } = spec;
  return {
    pipeline,
    outputs,
    source,
    beforeStored: false,
    steps: steps.map(step => {
      const { name, module, onError, memoryBytes, maxFailuresInARow } = step;
      const { abi, sha256 } = module;
      const code = compile(module, memoryBytes);
      const state = module.state ? { ...module.state, limitBytes: memoryBytes } : null;
      const setup = setupOf(spec, step);
      return { name, module: code, abi, sha256, setup, state, onError, maxFailuresInARow, traces: false, secrets: [] };
    }),
  };
}
