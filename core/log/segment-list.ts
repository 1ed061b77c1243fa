import type { Segment } from './segment.ts';

/** A log's segments in order, without a gap; never empty, the last one is open for appends. */
export class SegmentList {
  private readonly segments: Segment[];
  /** Bytes in all but the last. */
  private closedBytes: number;

  constructor(segments: readonly Segment[]) {
    this.segments = [...segments];
    this.closedBytes = segments.slice(0, -1).reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  get all(): readonly Segment[] {
    return this.segments;
  }

  get sizeBytes(): number {
    return this.closedBytes + (this.segments.at(-1)?.sizeBytes ?? 0);
  }

  push(segment: Segment): void {
    this.closedBytes += this.segments.at(-1)?.sizeBytes ?? 0;
    this.segments.push(segment);
  }

  /** The segment that contains `offset`, or would. */
  find(offset: number): Segment {
    let low = 0;
    let high = this.segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.segments[middle] as Segment).baseOffset <= offset) low = middle;
      else high = middle - 1;
    }
    return this.segments[low] as Segment;
  }

  /** Whether these are neighbours in the list, none of them the last. */
  holds(group: readonly Segment[]): boolean {
    const at = this.segments.indexOf(group[0] as Segment);
    if (at < 0 || at + group.length >= this.segments.length) return false;
    return group.every((segment, i) => this.segments[at + i] === segment);
  }

  /** Puts `fresh` in the place of neighbours that are in the list. */
  replace(group: readonly Segment[], fresh: Segment): void {
    this.segments.splice(this.segments.indexOf(group[0] as Segment), group.length, fresh);
    for (const segment of group) this.closedBytes -= segment.sizeBytes;
    this.closedBytes += fresh.sizeBytes;
  }

  /** Takes out and returns the first segment when all of it lies below `offset`. */
  shiftBelow(offset: number): Segment | null {
    const first = this.segments[0];
    if (!first || this.segments.length === 1 || first.endOffset > offset) return null;
    this.segments.shift();
    this.closedBytes -= first.sizeBytes;
    return first;
  }
}
