import { Worker } from 'node:worker_threads';
import type { CompactionRunner, CompactionTask, FilterResult, IndexResult } from '../core/log/compaction/task.ts';
import type { Answer, Request } from './compaction-thread.ts';

const THREAD = new URL(
  import.meta.url.endsWith('.ts') ? './compaction-thread.ts' : './compaction-thread.js',
  import.meta.url,
);

type Work = Request extends infer R ? (R extends Request ? Omit<R, 'id' | 'task'> : never) : never;

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** Runs each compaction on a thread of its own, which ends with it: compaction is rare, its memory is not kept. */
export const threadRunner: CompactionRunner = {
  async start(options): Promise<CompactionTask> {
    const worker = new Worker(THREAD, { name: 'compaction' });
    worker.unref();
    const waiting = new Map<number, Waiting>();
    let next = 0;
    let ended: Error | null = null;
    const end = (error: Error): void => {
      ended ??= error;
      for (const request of waiting.values()) request.reject(error);
      waiting.clear();
    };
    worker.on('error', end);
    worker.on('exit', code => end(new Error(`the compaction thread ended with code ${code}`)));
    worker.on('message', (answer: Answer) => {
      const request = waiting.get(answer.id);
      waiting.delete(answer.id);
      if ('error' in answer) request?.reject(new Error(answer.error));
      else request?.resolve(answer.result);
    });
    const ask = <T>(work: Work, transfer: ArrayBuffer[] = []): Promise<T> =>
      new Promise((resolve, reject) => {
        if (ended) {
          reject(ended);
          return;
        }
        const id = next++;
        waiting.set(id, { resolve: result => resolve(result as T), reject });
        worker.postMessage({ ...work, id, task: 0 }, transfer);
      });
    await ask({ kind: 'start', options });
    return {
      index: chunk => ask<IndexResult>({ kind: 'index', chunk }, movable(chunk)),
      filter: (chunk, keep) => ask<FilterResult>({ kind: 'filter', chunk, keep }, movable(chunk)),
      nextPass: () => ask({ kind: 'nextPass' }),
      async close() {
        await worker.terminate();
      },
    };
  },
};

/** The chunk's memory is the thread's from now on; nobody else reads it. */
function movable(chunk: Uint8Array): ArrayBuffer[] {
  return chunk.buffer instanceof ArrayBuffer ? [chunk.buffer] : [];
}
