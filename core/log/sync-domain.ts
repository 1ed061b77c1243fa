import type { Disk, DiskFile } from '../base/disk.ts';
import { storageError } from './log-errors.ts';

/** Something whose written bytes can be made durable. */
export interface SyncTarget {
  /** Makes durable at least what was written when it was called, through `domain`. Never called twice at a time. */
  sync(domain: SyncDomain): Promise<void>;
}

interface Group {
  promise: Promise<void>;
  resolve(): void;
  reject(error: Error): void;
}

interface TargetState {
  /** Requests that the next sync answers; null when there is none. */
  gathering: Group | null;
  busy: boolean;
}

/**
 * All syncs of one log directory go through here. Group commit: what is requested while a target's sync runs gathers
 * into its next one, which begins when the running one ends; different targets are synced side by side, `parallel` at
 * a time. The first sync that fails fails everything for good: the kernel has dropped the dirty pages, so trying again
 * would report success for bytes that are gone.
 */
export class SyncDomain {
  failed: Error | null = null;
  private readonly disk: Disk;
  private readonly parallel: number;
  private readonly onFailure: (error: Error) => void;
  private readonly states = new Map<SyncTarget, TargetState>();
  private queue: SyncTarget[] = [];
  private running = 0;
  private scheduled = false;

  constructor(disk: Disk, parallel: number, onFailure: (error: Error) => void) {
    this.disk = disk;
    this.parallel = parallel;
    this.onFailure = onFailure;
  }

  /** One promise for all who ask before the sync begins: it begins after this turn of the event loop has read its
   * sockets, so one turn's appends share it. Rejects with STORAGE_ERROR. */
  requestSync(target: SyncTarget): Promise<void> {
    let state = this.states.get(target);
    if (!state) this.states.set(target, (state = { gathering: null, busy: false }));
    if (state.gathering) return state.gathering.promise;
    const group = newGroup();
    if (this.failed) {
      group.reject(this.failed);
      return group.promise;
    }
    state.gathering = group;
    if (!state.busy) {
      this.queue.push(target);
      this.schedule();
    }
    return group.promise;
  }

  /** The target is closed; whoever still waits for it is told `reason`. */
  forget(target: SyncTarget, reason: Error): void {
    this.states.get(target)?.gathering?.reject(reason);
    this.states.delete(target);
  }

  async datasync(file: DiskFile): Promise<void> {
    await this.guard(() => file.datasync());
  }

  async syncDirectory(path: string): Promise<void> {
    await this.guard(() => this.disk.syncDirectory(path));
  }

  /** Everything becomes read-only. */
  fail(cause: unknown): Error {
    if (this.failed) return this.failed;
    const error = storageError(cause);
    this.failed = error;
    this.queue = [];
    for (const state of this.states.values()) {
      state.gathering?.reject(error);
      state.gathering = null;
    }
    this.onFailure(error);
    return error;
  }

  private async guard(action: () => Promise<void>): Promise<void> {
    if (this.failed) throw this.failed;
    try {
      await action();
    } catch (error) {
      throw this.fail(error);
    }
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.pump();
    });
  }

  private pump(): void {
    while (this.running < this.parallel) {
      const target = this.queue.shift();
      if (!target) return;
      void this.run(target);
    }
  }

  private async run(target: SyncTarget): Promise<void> {
    const state = this.states.get(target);
    const group = state?.gathering;
    if (!state || !group) return;
    state.gathering = null;
    state.busy = true;
    this.running++;
    try {
      await target.sync(this);
      group.resolve();
    } catch (error) {
      group.reject(this.fail(error));
    } finally {
      this.running--;
      state.busy = false;
      if (state.gathering) this.queue.push(target);
      this.pump();
    }
  }
}

function newGroup(): Group {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Whoever does not look at the promise (a background flush) must not bring the process down.
  promise.catch(() => {});
  return { promise, resolve, reject };
}
