import type { DiskFile } from '../base/disk.ts';
import type { LogObserver } from './log.ts';
import type { LogContext } from './log-context.ts';
import type { Segment } from './segment.ts';
import { saveSnapshot } from './snapshots.ts';
import type { SyncTarget } from './sync-domain.ts';
import type { TransactionIndex } from './txn-index.ts';

interface Rolled {
  segment: Segment;
  /** The observer's state at its end; null when a stored one is as new. */
  snapshot: Uint8Array | null;
  /** Bytes counted when it was rolled. */
  countedBytes: number;
}

/** A log as its upkeep sees it. */
export interface Kept extends SyncTarget {
  readonly endOffset: number;
  readonly active: Segment;
}

/**
 * What one log's files need behind its appends: sealing rolled segments, storing index entries and the observer's
 * state, and with them moving the recovery point, below which recovery need not look. One job at a time, in order.
 */
export class Upkeep {
  /** The files are what a clean stop leaves. */
  isFinished: boolean;
  /** Bytes above the recovery point: what recovery would have to look at. */
  get uncheckedBytes(): number {
    return this.counted - this.checked;
  }
  private readonly context: LogContext;
  private readonly directory: string;
  private readonly name: string;
  private readonly observer: LogObserver | null;
  private readonly aborted: TransactionIndex;
  private readonly rolled: Rolled[] = [];
  private readonly syncFile = (file: DiskFile): Promise<void> => this.context.sync.datasync(file);
  private snapshotOffset: number;
  private counted: number;
  private checked = 0;
  private last: Promise<void> = Promise.resolve();

  constructor(
    context: LogContext,
    log: {
      directory: string;
      name: string;
      observer: LogObserver | null;
      aborted: TransactionIndex;
      snapshotOffset: number;
      uncheckedBytes: number;
      isFinished: boolean;
    },
  ) {
    this.context = context;
    this.directory = log.directory;
    this.name = log.name;
    this.observer = log.observer;
    this.aborted = log.aborted;
    this.snapshotOffset = log.snapshotOffset;
    this.counted = log.uncheckedBytes;
    this.isFinished = log.isFinished;
  }

  count(bytes: number): void {
    this.isFinished = false;
    this.counted += bytes;
    this.context.wrote(bytes);
  }

  /** `segment` takes no appends any more: it is sealed in the background. */
  roll(segment: Segment): void {
    this.rolled.push({ segment, snapshot: this.takeSnapshot(segment.endOffset), countedBytes: this.counted });
    this.inTurn(async () => {
      await this.sealRolled();
      await this.context.recoveryPoints.save();
    }).catch((error: unknown) => {
      // Tried again by the next checkpoint, which does not pass it.
      this.context.logger.warn('A rolled segment could not be finished.', { log: this.name, error });
    });
  }

  /** Moves the recovery point to the log's end. The caller stores it. */
  checkpoint(log: Kept): Promise<void> {
    return this.inTurn(() => this.checkpointNow(log));
  }

  /** In turn: sees to it that the observer's state does not depend on batches below `offset`, which may go then. */
  async outlive(offset: number, log: Kept): Promise<void> {
    if (this.observer && this.snapshotOffset < offset) await this.checkpointNow(log);
  }

  /** Leaves the files as Kafka expects those of a closed log. */
  finish(log: Kept): Promise<void> {
    return this.inTurn(async () => {
      await this.context.sync.requestSync(log);
      await this.sealRolled();
      const snapshot = this.takeSnapshot(log.endOffset);
      await log.active.seal(this.syncFile);
      await this.saveAborted(log.active);
      await this.context.sync.syncDirectory(this.directory);
      await this.reached(log.endOffset, this.counted, snapshot);
      this.isFinished = true;
    });
  }

  inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.last.then(work);
    this.last = done.catch(() => {});
    return done;
  }

  /** Resolves when nothing is under way. */
  idle(): Promise<void> {
    return this.last;
  }

  private async checkpointNow(log: Kept): Promise<void> {
    await this.sealRolled();
    const { active, endOffset } = log;
    const countedBytes = this.counted;
    const snapshot = this.takeSnapshot(endOffset);
    await this.context.sync.requestSync(log);
    // Without the last entry that a closed segment's time index has.
    this.isFinished = false;
    await active.saveIndexes(this.syncFile);
    await this.saveAborted(active);
    await this.context.sync.syncDirectory(this.directory);
    await this.reached(endOffset, countedBytes, snapshot);
  }

  private async sealRolled(): Promise<void> {
    for (;;) {
      const next = this.rolled[0];
      if (!next) return;
      const { segment, snapshot, countedBytes } = next;
      await segment.seal(this.syncFile);
      await this.saveAborted(segment);
      await this.context.sync.syncDirectory(this.directory);
      await this.reached(segment.endOffset, countedBytes, snapshot);
      await segment.unload();
      this.rolled.shift();
    }
  }

  /** Before the snapshot that no longer knows these transactions. */
  private async saveAborted(segment: Segment): Promise<void> {
    await this.aborted.save(this.context.disk, this.directory, segment, this.syncFile);
  }

  /** Everything below `offset` is synced. */
  private async reached(offset: number, countedBytes: number, snapshot: Uint8Array | null): Promise<void> {
    if (snapshot) {
      await saveSnapshot(this.context, this.directory, offset, snapshot);
      this.snapshotOffset = offset;
    }
    this.checked = Math.max(this.checked, countedBytes);
    this.context.recoveryPoints.set(this.name, offset);
  }

  private takeSnapshot(offset: number): Uint8Array | null {
    return this.observer && this.snapshotOffset !== offset ? this.observer.snapshot() : null;
  }
}
