import type { LogContext } from './log-context.ts';
import { asUnavailable, isNoSpace } from './log-errors.ts';
import type { Segment } from './segment.ts';
import type { SegmentList } from './segment-list.ts';
import type { Kept, Upkeep } from './upkeep.ts';

/** Where a log begins: moves up only, durably, and takes the segments below along. */
export class LogStart {
  offset: number;
  /** What a crash cannot take back. */
  private saved: number;
  private readonly context: LogContext;
  private readonly name: string;
  private readonly directory: string;
  private readonly segments: SegmentList;
  private readonly upkeep: Upkeep;
  private readonly onRemove: (segment: Segment) => void;

  constructor(
    context: LogContext,
    log: { name: string; directory: string; segments: SegmentList; upkeep: Upkeep; startOffset: number },
    onRemove: (segment: Segment) => void,
  ) {
    this.context = context;
    this.name = log.name;
    this.directory = log.directory;
    this.segments = log.segments;
    this.upkeep = log.upkeep;
    this.offset = log.startOffset;
    this.saved = log.startOffset;
    this.onRemove = onRemove;
  }

  /** Resolves with where the log durably begins, at `offset` or above: retention may be ahead of what is stored. Throws
   * DISK_FULL or STORAGE_ERROR. */
  async moveTo(offset: number, log: Kept): Promise<number> {
    if (offset > this.saved) {
      this.offset = Math.max(this.offset, offset);
      await this.upkeep.inTurn(() => this.apply(log));
    }
    return this.saved;
  }

  /** In the upkeep's turn: stores the start and removes what lies below. */
  async apply(log: Kept): Promise<void> {
    const start = this.offset;
    try {
      await this.save(start, log);
    } catch (error) {
      if (!isNoSpace(error)) throw asUnavailable(error);
      // Removing is what makes room again. Each removal is made durable before the next: a segment missing in the
      // middle would look like damage after a crash.
      await this.removeBelow(start, () => this.context.sync.syncDirectory(this.directory));
      await this.save(start, log).catch((again: unknown) => {
        throw asUnavailable(again);
      });
    }
    await this.removeBelow(start, () => Promise.resolve());
  }

  private async save(start: number, log: Kept): Promise<void> {
    await this.upkeep.outlive(start, log);
    this.context.startOffsets.set(this.name, start);
    await this.context.startOffsets.save();
    this.saved = Math.max(this.saved, start);
  }

  private async removeBelow(start: number, afterEach: () => Promise<void>): Promise<void> {
    for (;;) {
      const segment = this.segments.shiftBelow(start);
      if (!segment) return;
      this.onRemove(segment);
      await segment.remove();
      await afterEach();
    }
  }
}
