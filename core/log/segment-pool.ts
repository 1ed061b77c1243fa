/** Something that can let go of an open file and of memory, and take them again when it is used. */
export interface Unloadable {
  unload(): Promise<void>;
}

/** Bounds how many closed segments of all logs hold a file and indexes open: the one unused for longest goes first. */
export class SegmentPool {
  private readonly capacity: number;
  private readonly inUse = new Set<Unloadable>();

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  used(segment: Unloadable): void {
    this.inUse.delete(segment);
    this.inUse.add(segment);
    if (this.inUse.size <= this.capacity) return;
    for (const oldest of this.inUse) {
      this.inUse.delete(oldest);
      // Closing a file that was only read from cannot lose anything.
      oldest.unload().catch(() => {});
      return;
    }
  }

  forget(segment: Unloadable): void {
    this.inUse.delete(segment);
  }
}
