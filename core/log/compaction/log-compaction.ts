import type { LogObserver } from '../log.ts';
import type { LogContext } from '../log-context.ts';
import type { Segment } from '../segment.ts';
import type { SegmentList } from '../segment-list.ts';
import type { CachedTail } from '../tail-cache.ts';
import type { TransactionIndex } from '../txn-index.ts';
import type { Kept, Upkeep } from '../upkeep.ts';
import { type CompactedLog, type CompactionResult, compactLog } from './compaction.ts';
import type { CompactionSettings } from './select.ts';
import type { AbortedRange } from './task.ts';

export interface LogCompactionParts {
  name: string;
  directory: string;
  segments: SegmentList;
  aborted: TransactionIndex;
  observer: LogObserver | null;
  tail: CachedTail;
  upkeep: Upkeep;
  log: Kept & { readonly lastStableOffset: number };
}

/** The compaction of one open log: one run at a time, ended by the log's closing. */
export class LogCompaction {
  private readonly context: LogContext;
  private readonly parts: LogCompactionParts;
  private running: Promise<CompactionResult | null> | null = null;
  private closing = false;

  constructor(context: LogContext, parts: LogCompactionParts) {
    this.context = context;
    this.parts = parts;
  }

  /** Null when there is nothing to do. A run that is under way answers all who ask. */
  run(settings: CompactionSettings, segmentBytes: number): Promise<CompactionResult | null> {
    this.running ??= compactLog(this.context, this.view(segmentBytes), settings).finally(() => (this.running = null));
    return this.running;
  }

  /** Resolves when no run is under way, nor comes any more. */
  async close(): Promise<void> {
    this.closing = true;
    await this.running?.catch(() => {});
  }

  private view(segmentBytes: number): CompactedLog {
    const { name, directory, segments, observer, upkeep, log, tail } = this.parts;
    const isClosing = (): boolean => this.closing || this.context.sync.failed !== null;
    return {
      name,
      directory,
      segmentBytes,
      segments: segments.all,
      stableOffset: log.lastStableOffset,
      aborted: this.aborted(log.lastStableOffset),
      producers: [...(observer?.lastOffsets?.() ?? [])],
      get isClosing() {
        return isClosing();
      },
      inTurn: work => upkeep.inTurn(work),
      outlive: offset => upkeep.outlive(offset, log),
      holds: group => segments.holds(group),
      replace: (old: readonly Segment[], fresh: Segment) => {
        segments.replace(old, fresh);
        // What was read there before must not be read differently from here on.
        this.context.cache.dropBelow(tail, fresh.endOffset);
      },
    };
  }

  private aborted(end: number): AbortedRange[] {
    return this.parts.aborted
      .within(0, end)
      .map(({ producerId, firstOffset, lastOffset }) => ({ producerId, firstOffset, lastOffset }));
  }
}
