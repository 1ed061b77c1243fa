import type { LaneState, StateChanges } from '../sandbox.ts';

/** So many batches of the last tasks are joined into one. */
const MOST_SMALL = 512;

/**
 * What a lane's steps keep, on the main thread: changelog batches, oldest first, as they came from the worker. Nobody here
 * decodes them; a thread that takes the lane over is given all of them.
 */
export class KeptState {
  private readonly partitions: number;
  private entries: number | null;
  private chunks: Uint8Array[];
  private small: Uint8Array[] = [];

  constructor({ batches, partitions, entries }: LaneState) {
    this.partitions = partitions;
    this.entries = entries;
    this.chunks = [...batches];
  }

  /** A task was answered; `snapshot` takes the place of everything so far. */
  add({ batches, entries }: StateChanges, snapshot: readonly Uint8Array[] | null): void {
    this.entries = entries;
    if (snapshot) {
      this.chunks = [...snapshot];
      this.small = [];
      return;
    }
    // The engine appends the same bytes; what it writes into their headers nobody here reads.
    this.small.push(...batches);
    if (this.small.length < MOST_SMALL) return;
    this.chunks.push(joined(this.small));
    this.small = [];
  }

  /** In one piece: what is cloned for a thread is the whole buffer that a view lies in. */
  get all(): LaneState {
    return { partitions: this.partitions, entries: this.entries, batches: [joined([...this.chunks, ...this.small])] };
  }
}

function joined(batches: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(batches.reduce((sum, batch) => sum + batch.length, 0));
  let at = 0;
  for (const batch of batches) {
    bytes.set(batch, at);
    at += batch.length;
  }
  return bytes;
}
