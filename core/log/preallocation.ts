import type { Clock } from '../base/clock.ts';
import type { DiskFile } from '../base/disk.ts';

const BLOCK_BYTES = 4096;
const FIRST_STEP_BYTES = 64 * 1024;
/** A sync of more than this is bound by the disk's bandwidth, of which the zeros would take half. */
const WORTHWHILE_SYNC_BYTES = 256 * 1024;
/** How far to go on without zeros once appends have overtaken them. */
const REST_BYTES = 4 * 1024 * 1024;
/** After a step that found no room: how long until the next is tried. */
const PAUSE_MS = 10_000;

/**
 * Writes zeros ahead of a segment's end, on a thread, so that a sync finds the blocks there and need not write the
 * file system's journal. Steps begin small and double, so that an idle topic costs little.
 *
 * Appends never wait for it. One that reaches into the range being zeroed is written at once all the same, and written
 * again when the zeros are through, since they may have come later; `settled` keeps a sync from counting it before.
 */
export class Preallocation {
  /** Zeros (or batches) lie up to here. */
  end: number;
  private readonly file: DiskFile;
  private readonly clock: Clock;
  private readonly maxStepBytes: number;
  private readonly zeros: (length: number) => Uint8Array;
  private step: number;
  private running: { from: number; to: number; done: Promise<void> } | null = null;
  private overtaken: { position: number; bytes: Uint8Array }[] = [];
  private pausedUntil = 0;
  private restUntil = 0;
  private lastSyncBytes = 0;

  constructor(file: DiskFile, clock: Clock, end: number, maxStepBytes: number, zeros: (length: number) => Uint8Array) {
    this.file = file;
    this.clock = clock;
    this.end = end;
    this.maxStepBytes = maxStepBytes;
    this.zeros = zeros;
    this.step = Math.min(FIRST_STEP_BYTES, maxStepBytes);
  }

  /** After `bytes` were written at `position`. */
  wrote(position: number, bytes: Uint8Array, limit: number): void {
    const end = position + bytes.length;
    if (this.running) {
      if (end > this.running.from) this.overtaken.push({ position, bytes });
      return;
    }
    if (this.end - end < this.step / 2) this.begin(end, limit);
  }

  /** A sync of so many bytes begins. */
  syncing(bytes: number): void {
    this.lastSyncBytes = bytes;
  }

  /** Null when nothing that was appended waits for zeros to get out of its way. */
  get settled(): Promise<void> | null {
    return this.overtaken.length > 0 && this.running ? this.running.done : null;
  }

  /** Resolves when no zeros are being written. */
  async idle(): Promise<void> {
    if (this.running) await this.running.done;
  }

  /** The file was cut to `size`. */
  cut(size: number): void {
    this.end = size;
  }

  private begin(size: number, limit: number): void {
    if (this.maxStepBytes === 0 || this.lastSyncBytes > WORTHWHILE_SYNC_BYTES || size < this.restUntil) return;
    if (this.pausedUntil > 0 && this.clock.monotonic() < this.pausedUntil) return;
    const from = Math.ceil(Math.max(this.end, size) / BLOCK_BYTES) * BLOCK_BYTES;
    const to = Math.min(from + this.step, limit);
    if (to <= from) return;
    const done = this.zero(from, to);
    // A failed rewrite is reported to whoever syncs; nobody else may be listening.
    done.catch(() => {});
    this.running = { from, to, done };
  }

  private async zero(from: number, to: number): Promise<void> {
    let reached = from;
    try {
      while (reached < to) {
        const written = await this.file.write([this.zeros(to - reached)], reached);
        if (written === 0) break;
        reached += written;
      }
      this.step = Math.min(this.step * 2, this.maxStepBytes);
    } catch {
      // No room, most likely. The segment works without; appends will tell when they find none either.
      this.pausedUntil = this.clock.monotonic() + PAUSE_MS;
    }
    this.running = null;
    this.end = Math.max(this.end, reached);
    const overtaken = this.overtaken;
    this.overtaken = [];
    const newest = overtaken.at(-1);
    if (newest) this.restUntil = newest.position + REST_BYTES;
    for (const { position, bytes } of overtaken) {
      for (let done = 0; done < bytes.length; ) {
        const written = this.file.writeSync([bytes.subarray(done)], position + done);
        if (written === 0) throw new Error(`a second write to ${this.file.path} was refused`);
        done += written;
      }
    }
  }
}
