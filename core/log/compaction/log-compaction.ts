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

/** A read takes less: what it has read before a swap is told apart by what the index said then. */
const READ_WITHIN_MS = 60_000;

/** From `at` on, no record of a transaction that was aborted below `offset` was in the log any more. */
interface Cleaned {
  offset: number;
  at: number;
}

/** The compaction of one open log: one run at a time, ended by the log's closing. */
export class LogCompaction {
  private readonly context: LogContext;
  private readonly parts: LogCompactionParts;
  private running: Promise<CompactionResult | null> | null = null;
  private closing = false;
  /** The index of aborted transactions still tells of these. */
  private cleaned: Cleaned | null = null;
  private cleanedSince: Cleaned | null = null;

  constructor(context: LogContext, parts: LogCompactionParts) {
    this.context = context;
    this.parts = parts;
  }

  /** Null when there is nothing to do. A run that is under way answers all who ask. */
  run(settings: CompactionSettings, segmentBytes: number): Promise<CompactionResult | null> {
    if (!this.running) {
      this.forgetAborted(settings);
      const run = compactLog(this.context, this.view(segmentBytes), settings, offset => this.withoutAborted(offset));
      this.running = run.finally(() => (this.running = null));
    }
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

  /** Everything below `offset` was rewritten: what had been aborted there is gone. */
  private withoutAborted(offset: number): void {
    const since = { offset, at: this.context.clock.now() };
    if (this.cleaned) this.cleanedSince = since;
    else this.cleaned = since;
  }

  /**
   * Between runs: the index need not tell of transactions of which nothing is left, once nobody can be reading what was
   * there before: after the time that readers have for tombstones. Then their markers go as those of commits do.
   */
  private forgetAborted({ deleteRetentionMs }: CompactionSettings): void {
    const wait = Math.max(deleteRetentionMs, READ_WITHIN_MS);
    if (!this.cleaned || this.context.clock.now() - this.cleaned.at < wait) return;
    this.parts.aborted.removeBelow(this.cleaned.offset);
    this.cleaned = this.cleanedSince;
    this.cleanedSince = null;
  }

  private aborted(end: number): AbortedRange[] {
    return this.parts.aborted
      .within(0, end)
      .map(({ producerId, firstOffset, lastOffset }) => ({ producerId, firstOffset, lastOffset }));
  }
}
