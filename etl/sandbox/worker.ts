import { workerData } from 'node:worker_threads';
import { move, transferableSymbol, valueSymbol } from 'piscina';
import { systemClock } from '../../core/base/clock.ts';
import { asMillstreamError } from '../../core/base/errors.ts';
import { CELL, PHASE } from './cell.ts';
import { FrameHelper } from './frame-helper/frame-helper.ts';
import { meter } from './fuel/meter.ts';
import type { Reply, RunMessage, WorkerMessage } from './messages.ts';
import { stepBack } from './step-back.ts';
import { WorkerLane, type WorkerShared } from './worker-lane.ts';

/*
 * What runs in a worker thread: guests, and the little that surrounds them. Tasks come one after the other, in the order
 * in which the slot sends them. What a guest waits for comes from here, so nothing ever waits for the world.
 */

export interface WorkerData {
  cell: SharedArrayBuffer;
}

const shared: WorkerShared = {
  helper: new FrameHelper(),
  cell: new Int32Array((workerData as WorkerData).cell),
  now: () => systemClock.monotonic(),
};
const lanes = new Map<number, WorkerLane>();

/** The tasks before. */
let turn: Promise<unknown> = Promise.resolve();

export default function handle(message: WorkerMessage): Promise<unknown> {
  const mine = turn.then(() => answer(message));
  turn = mine;
  return mine;
}

async function answer(message: WorkerMessage): Promise<unknown> {
  shared.cell[CELL.task] = message.task;
  try {
    return await reply(message);
  } catch (error) {
    const { kind, code, message: text, help } = asMillstreamError(error);
    return { ok: null, error: { kind, code, message: text, help } } satisfies Reply;
  } finally {
    shared.cell[CELL.phase] = PHASE.host;
  }
}

async function reply(message: WorkerMessage): Promise<unknown> {
  switch (message.kind) {
    case 'run':
      return run(message);
    case 'close':
      lanes.get(message.lane)?.close();
      lanes.delete(message.lane);
      return { ok: 'done' } satisfies Reply;
    case 'nice':
      stepBack(message.nice);
      return { ok: 'done' } satisfies Reply;
    case 'compile':
      shared.cell[CELL.phase] = PHASE.init;
      return {
        ok: 'compiled',
        module: new WebAssembly.Module(message.hasFuel ? meter(message.bytes) : message.bytes),
      } satisfies Reply;
    case 'start':
      await tryOut(new WorkerLane({ chain: message.chain, memory: [], past: null }, shared));
      return { ok: 'done' } satisfies Reply;
  }
}

async function tryOut(lane: WorkerLane): Promise<void> {
  await lane.start();
  lane.close();
}

async function run(message: RunMessage): Promise<unknown> {
  if (message.open) lanes.set(message.lane, new WorkerLane(message.open, shared));
  const lane = lanes.get(message.lane);
  if (!lane) throw new Error(`lane ${message.lane} is not open in this worker`);
  const batches = new Uint8Array(message.buffer, message.byteOffset, message.length);
  const done: Reply = { ok: 'run', reply: await lane.run(message, batches), recycled: message.buffer };
  const transfer: ArrayBuffer[] = [message.buffer];
  for (const { batch } of done.reply.result.outputs) transfer.push(batch.buffer as ArrayBuffer);
  for (const batch of done.reply.result.state?.batches ?? []) transfer.push(batch.buffer as ArrayBuffer);
  for (const batch of done.reply.snapshot ?? []) transfer.push(batch.buffer as ArrayBuffer);
  if (done.reply.result.dead) transfer.push(done.reply.result.dead.batch.buffer as ArrayBuffer);
  return move({ [transferableSymbol]: transfer, [valueSymbol]: done });
}
