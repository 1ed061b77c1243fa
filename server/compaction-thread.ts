import { parentPort } from 'node:worker_threads';
import { filterChunk, indexChunk } from '../core/log/compaction/inline-runner.ts';
import { BatchCleaner, type TaskOptions } from '../core/log/compaction/task.ts';

/*
 * The thread that compaction's work on bytes runs on. One request at a time and task; each answer carries its id. Bytes
 * are moved, not copied.
 */
export type Request = { id: number; task: number } & (
  | { kind: 'start'; options: TaskOptions }
  | { kind: 'index'; chunk: Uint8Array }
  | { kind: 'filter'; chunk: Uint8Array; keep: number }
  | { kind: 'nextPass' }
  | { kind: 'close' }
);
export type Answer = { id: number; result: unknown } | { id: number; error: string };

const cleaners = new Map<number, BatchCleaner>();

function answer(request: Request): unknown {
  if (request.kind === 'start') {
    cleaners.set(request.task, new BatchCleaner(request.options));
    return null;
  }
  const cleaner = cleaners.get(request.task);
  if (!cleaner) throw new Error(`there is no compaction ${request.task}`);
  switch (request.kind) {
    case 'index':
      return indexChunk(cleaner, request.chunk);
    case 'filter':
      return filterChunk(cleaner, request.chunk, request.keep);
    case 'nextPass':
      cleaner.nextPass();
      return null;
    case 'close':
      cleaners.delete(request.task);
      return null;
  }
}

parentPort?.on('message', (request: Request) => {
  try {
    parentPort?.postMessage({ id: request.id, result: answer(request) } satisfies Answer, []);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    parentPort?.postMessage({ id: request.id, error: text } satisfies Answer, []);
  }
});
