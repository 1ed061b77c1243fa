/**
 * The newest range of offsets that was read and held only markers or aborted records: nobody waits for it. Reads may
 * overlap: one that nobody waits for any more goes on beside the next one.
 */
export class EmptyRange {
  private from = -1;
  private to = -1;

  add(from: number, to: number): void {
    const touches = from <= this.to && to >= this.from;
    this.from = touches ? Math.min(from, this.from) : from;
    this.to = touches ? Math.max(to, this.to) : to;
  }

  /** Where what is left to read begins, for a reader that stands at this offset. */
  behind(offset: number): number {
    return offset >= this.from && offset < this.to ? this.to : offset;
  }
}
