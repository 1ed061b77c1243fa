import { lastOffset, readBatchHeader } from '../batch.ts';
import {
  BatchCleaner,
  type CompactionRunner,
  type CompactionTask,
  eachBatch,
  type FilterResult,
  type IndexResult,
} from './task.ts';

/** The cleaner's answer to one chunk: shared by the thread and the inline runner. */
export function indexChunk(cleaner: BatchCleaner, chunk: Uint8Array): IndexResult {
  const result: IndexResult = { nextOffset: 0, isFull: false };
  eachBatch(chunk, batch => {
    const header = readBatchHeader(batch);
    if (!cleaner.index(batch)) {
      result.isFull = true;
      return false;
    }
    result.nextOffset = lastOffset(header) + 1;
    return true;
  });
  return result;
}

export function filterChunk(cleaner: BatchCleaner, chunk: Uint8Array, keep: number): FilterResult {
  const parts: Uint8Array[] = [];
  let changed = false;
  eachBatch(chunk, batch => {
    const left = cleaner.filter(batch, keep);
    if (left) parts.push(left);
    if (left !== batch) changed = true;
  });
  return { bytes: Buffer.concat(parts), changed };
}

/** Compaction on the thread that calls: for tests and embedders; one chunk at a time, with a turn of the event loop for
 * everybody else in between. */
export const inlineRunner: CompactionRunner = {
  async start(options): Promise<CompactionTask> {
    const cleaner = new BatchCleaner(options);
    const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));
    return {
      async index(chunk) {
        await turn();
        return indexChunk(cleaner, chunk);
      },
      async filter(chunk, keep) {
        await turn();
        return filterChunk(cleaner, chunk, keep);
      },
      async nextPass() {
        cleaner.nextPass();
      },
      async close() {},
    };
  },
};
