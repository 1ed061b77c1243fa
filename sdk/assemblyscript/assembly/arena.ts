/*
 * Memory. The module is built with the runtime `stub`: allocation moves one pointer, nothing is ever collected. What
 * a record's transform allocated is given back all at once when the record is done, by moving the pointer back to the
 * mark; what was allocated before (static data, configuration, the two frame buffers) lies below the mark and stays.
 *
 * The stub keeps a block's size in the 4 bytes before it, and freeing the topmost block moves the pointer to where
 * that block began. So to release means: stretch the block that begins at the mark over everything above, and free it.
 */
const BLOCK_OVERHEAD: usize = 4;
const SMALLEST: usize = 12;
/** Scanning loads 16 bytes at a time and may read this far behind the last one. */
export const SLACK: usize = 16;

let mark: usize = 0;

/** Everything that is allocated now stays. */
export function keep(): void {
  mark = heap.alloc(SMALLEST);
  heap.free(mark);
}

/** Gives back what was allocated since the last `keep`. */
// @ts-ignore: decorator
@inline
export function release(): void {
  const top = heap.alloc(SMALLEST);
  if (top == mark) return heap.free(top);
  store<usize>(mark - BLOCK_OVERHEAD, top + SMALLEST - mark);
  heap.free(mark);
}

/** A lasting buffer; may be called while a record is being handled. */
export function allocateLasting(size: usize): usize {
  const ptr = heap.alloc(size + SLACK);
  keep();
  return ptr;
}
